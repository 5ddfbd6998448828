// Package keys answers /v1/kv, /v1/txn, /v1/session and /v1/event: keys, transactions,
// sessions and users' events over HTTP.
//
// It decides nothing about them; operations go through the edge's Caller, and an
// agent's own events come from a ring.
package keys
