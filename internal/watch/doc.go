// Package watch follows what a query of the HTTP API answers, and calls a handler
// whenever that changes: a program that reads the answer as JSON, or a URL that
// it is sent to.
//
// It asks through the official client, so that the watch command and the watches
// in an agent's configuration are the same thing. It is not how agents follow
// names; that is package view.
package watch
