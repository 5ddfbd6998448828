// Package remote carries the contract of package rpc from one agent to another:
// calls and conversations over gRPC (HTTP/2), with messages in CBOR (RFC 8949).
//
// A Server takes what comes on a listener to a Handler; a Conn is one server as
// others reach it. Errors keep their kind (internal/fault) and their text. The
// package does not choose whom to ask and never asks twice: that is for whoever
// holds Conns. It does not know TLS either: listener and dialer bring it.
package remote
