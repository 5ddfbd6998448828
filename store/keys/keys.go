package keys

import (
	"context"

	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/store"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
)

// Keys changes keys and sessions through the log.
type Keys struct{ s *store.Store }

// Of gives a store's part for keys and sessions.
func Of(s *store.Store) Keys { return Keys{s} }

// Change does one thing with a key, and reports whether the state permitted it.
func (k Keys) Change(ctx context.Context, op *kv.KeyOp) (done bool, err error) {
	v, _, err := store.Apply(ctx, k.s, fsm.TypeKey, op)
	if err != nil {
		return false, err
	}
	done, ok := v.(bool)
	if !ok {
		return false, fault.Newf(fault.Unknown, "the log entry's result is missing")
	}
	return done, nil
}

// CreateSession puts a session in.
func (k Keys) CreateSession(ctx context.Context, s *kv.Session) error {
	_, _, err := store.Apply(ctx, k.s, fsm.TypeSession, &fsm.ChangeSession{Create: s})
	return err
}

// DestroySessions ends sessions. Those that are not there are no error.
func (k Keys) DestroySessions(ctx context.Context, ids ...string) error {
	_, _, err := store.Apply(ctx, k.s, fsm.TypeSession, &fsm.ChangeSession{Destroy: ids})
	return err
}

// Transact carries out the operations of a transaction; the error is kv.Failed
// where the state did not permit it.
func (k Keys) Transact(ctx context.Context, ops []kv.Op) ([]kv.Result, error) {
	v, _, err := store.Apply(ctx, k.s, fsm.TypeTxn, &fsm.ChangeMany{Ops: ops})
	if err != nil {
		return nil, err
	}
	results, ok := v.([]kv.Result)
	if !ok {
		return nil, fault.Newf(fault.Unknown, "the log entry's result is missing")
	}
	return results, nil
}

// Tidy ends lock delays, and gives tombstones up to an index up.
func (k Keys) Tidy(ctx context.Context, delays []state.LockDelay, tombstones uint64) error {
	_, _, err := store.Apply(ctx, k.s, fsm.TypeTidy, &fsm.Tidy{Delays: delays, Tombstones: tombstones})
	return err
}
