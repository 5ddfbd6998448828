// Package fault gives errors a kind that survives wrapping and, later, the wire.
//
// A kind says what a caller can do about an error; the text says what happened
// to a person. The package knows nothing of HTTP status or DNS rcode: each edge
// keeps its own single table from kind to its protocol.
package fault
