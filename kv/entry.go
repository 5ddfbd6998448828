package kv

import (
	"slices"
	"strings"
)

// Entry is a key with its value, as clients read it.
type Entry struct {
	LockIndex   uint64 `cbor:",omitempty"` // how often the key has been locked
	Key         string
	Flags       uint64 `cbor:",omitempty"`                   // for clients, means nothing here
	Value       []byte `cbor:",omitempty"`                   // nil if empty
	Session     string `json:",omitempty" cbor:",omitempty"` // that holds the lock
	CreateIndex uint64
	ModifyIndex uint64
}

// Same reports whether two entries of a key differ in nothing but their indexes.
func (e *Entry) Same(other *Entry) bool {
	return e.LockIndex == other.LockIndex && e.Flags == other.Flags && e.Session == other.Session && slices.Equal(e.Value, other.Value)
}

// Bare is the entry without its value.
func (e *Entry) Bare() *Entry {
	c := *e
	c.Value = nil
	return &c
}

// AddName adds a key to a sorted list of names, without what follows the separator
// after the prefix ("" = nothing is left out), unless it ends the list already.
func AddName(names []string, key, prefix, separator string) []string {
	if separator != "" {
		if i := strings.Index(key[len(prefix):], separator); i >= 0 {
			key = key[:len(prefix)+i+len(separator)]
		}
	}
	if n := len(names); n > 0 && names[n-1] == key {
		return names
	}
	return append(names, key)
}

// Limits that hold whatever the configuration says.
const (
	// MaxKey is the longest key in bytes: what a request's head carries.
	MaxKey = 32 << 10
	// MaxOps is the known limit of operations in a transaction.
	MaxOps = 128
)
