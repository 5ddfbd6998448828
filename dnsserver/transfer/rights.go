package transfer

import (
	"context"
	"errors"

	"consul.internal/view"
)

// rights are what the zone holds. They are never changed, but replaced.
type rights struct {
	sight view.Sight
	err   error           // not nil: nobody can tell, and nothing is given away
	over  context.Context // ends when there are others
	end   context.CancelFunc
}

func newRights(sight view.Sight, err error) *rights {
	r := &rights{sight: sight, err: err}
	r.over, r.end = context.WithCancel(context.Background())
	return r
}

var errOtherRights = errors.New("what may be seen has changed meanwhile")

// See tells a guarded Server what may be seen from now on; with an error nobody can
// tell, and nothing is given away. Transfers under way are broken off: they hold what may
// no longer be seen.
func (s *Server) See(sight view.Sight, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.rights
	if old.err != nil && err != nil || old.err == nil && err == nil && old.sight.Rules == sight.Rules {
		return
	}
	s.rights, s.version = newRights(sight, err), nil
	old.end()
	if s.follows == nil {
		return
	}
	s.in = inbox{whole: true}
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// while gives a context that ends with the rights as well.
func (r *rights) while(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.over, func() { cancel(errOtherRights) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
