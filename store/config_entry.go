package store

import (
	"context"

	"consul.internal/internal/fault"
	"consul.internal/store/fsm"
)

// ChangeConfig writes or deletes a config entry. It says whether that was done:
// with a CAS it may not be.
func ChangeConfig(ctx context.Context, s *Store, c *fsm.ChangeConfig) (done bool, err error) {
	r, _, err := s.apply(ctx, fsm.TypeConfig, c)
	if err != nil {
		return false, err
	}
	done, ok := r.(bool)
	if !ok {
		return false, fault.Newf(fault.Unknown, "the log entry's result is missing")
	}
	return done, nil
}
