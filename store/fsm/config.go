package fsm

import (
	"consul.internal/configentry"
	"consul.internal/store/state"
)

// ChangeConfig is the body of TypeConfig. Its result is whether it was done: with
// CAS it may not be.
type ChangeConfig struct {
	Put        *configentry.Entry `cbor:",omitempty"` // to write
	Kind, Name string             `cbor:",omitempty"` // of one to take away
	CAS        *uint64            `cbor:",omitempty"` // the index at which it must have been written last
	Copied     bool               `cbor:",omitempty"` // from the primary datacenter
}

func (c *ChangeConfig) apply(tx *state.Txn) (any, error) {
	w := state.ConfigWriter{Txn: tx}
	if c.Put != nil {
		return w.Put(c.Put, c.CAS, c.Copied)
	}
	return w.Delete(c.Kind, c.Name, c.CAS, c.Copied)
}
