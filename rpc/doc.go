// Package rpc is the contract between the edges and the servers: every remote
// operation, named and typed, one file a noun.
//
// An edge holds a Caller and says Call(ctx, caller, CatalogRegister, in). On a
// server the Caller is the in-process dispatcher, on a client the router. The
// package decides nothing: authorisation, routing and state live behind the
// Caller. Values in replies may be shared with the state; they are read, never
// changed.
package rpc
