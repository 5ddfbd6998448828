// Package server performs the operations of package rpc: it sends a request to
// the right datacenter, makes writes through the replicated store, and answers
// reads from the state, blocking ones included.
//
// It is the rpc.Caller of an agent in server mode. It speaks no protocol and
// keeps no state of its own.
package server
