// Package logx makes zap loggers in the form that people grep, and lends them to
// libraries that speak hclog or the standard log package.
//
// Loggers are passed in and named per package ("agent", "dns", "server.raft");
// there is no global one.
package logx
