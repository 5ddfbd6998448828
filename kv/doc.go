// Package kv has the nouns of the key/value store and their pure rules: entries,
// sessions, the verbs of changes and transactions, and their limits.
//
// It stores nothing, knows no clock and no raft: store/state keeps the tables,
// and decides about verbs where they need what is there.
package kv
