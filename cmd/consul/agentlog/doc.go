// Package agentlog joins the places where an agent's log lines go: standard
// output, and, where the configuration says so, a file that is changed by age and
// size, and syslog.
//
// It does not make lines; that is package logx.
package agentlog
