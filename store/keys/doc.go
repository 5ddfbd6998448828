// Package keys changes keys and sessions through a store's log.
//
// It is what package store says of other nouns, apart for its size. It reads
// nothing: who reads asks the store's state.
package keys
