package fsm

import (
	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/store/state"
)

// ChangeSession is the body of TypeSession.
type ChangeSession struct {
	Create  *kv.Session `cbor:",omitempty"`
	Destroy []string    `cbor:",omitempty"` // IDs
}

func (c *ChangeSession) apply(tx *state.Txn) error {
	w := state.SessionWriter{Txn: tx}
	for _, id := range c.Destroy {
		w.Destroy(id)
	}
	if c.Create != nil {
		return w.Create(c.Create)
	}
	return nil
}

// ChangeMany is the body of TypeTxn.
type ChangeMany struct{ Ops []kv.Op }

// Tidy is the body of TypeTidy: what the leader's clock has ended.
type Tidy struct {
	Delays     []state.LockDelay `cbor:",omitempty"`
	Tombstones uint64            `cbor:",omitempty"` // up to this index are given up
}

// maxTidied tombstones go at a time, so that nothing else waits for long.
const maxTidied = 10_000

func (c *Tidy) apply(tx *state.Txn) {
	w := state.KeyWriter{Txn: tx}
	w.EndDelays(c.Delays)
	if c.Tombstones > 0 {
		w.GiveUp(c.Tombstones, maxTidied)
	}
}

// changeKey carries out the body of TypeKey. Its value is whether it happened.
func changeKey(tx *state.Txn, op *kv.KeyOp) (ok any, err error) {
	w := state.KeyWriter{Txn: tx}
	done := true
	switch op.Verb {
	case kv.Set:
		w.Set(op)
	case kv.CAS:
		_, done = w.CAS(op)
	case kv.Lock:
		_, done, err = w.Lock(op)
	case kv.Unlock:
		_, done, err = w.Unlock(op)
	case kv.Delete:
		w.Delete(op.Key)
	case kv.DeleteCAS:
		done = w.DeleteCAS(op.Key, op.Index)
	case kv.DeleteTree:
		w.DeleteTree(op.Key)
	default:
		err = fault.Newf(fault.Invalid, "unknown KV verb %q", op.Verb)
	}
	return done, err
}

// keyCommands are the commands on keys and sessions.
func keyCommands(c codec) map[Type]command {
	return map[Type]command{
		TypeKey: {level: FirstLevel, decode: decoder(c, changeKey), plain: true},
		TypeSession: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *ChangeSession) (any, error) {
			return nil, in.apply(tx)
		})},
		TypeTxn: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *ChangeMany) (any, error) {
			return state.Operations{Txn: tx}.Apply(in.Ops)
		})},
		TypeTidy: {level: FirstLevel, decode: decoder(c, func(tx *state.Txn, in *Tidy) (any, error) {
			in.apply(tx)
			return nil, nil
		})},
	}
}
