package server

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"consul.internal/configentry"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server/copied"
	"consul.internal/store"
	"consul.internal/store/fsm"
	"go.uber.org/zap"
)

const (
	// replicaEvery is the least time between two questions where much changes: the
	// copy is a moment late, and not fetched anew for each of a hundred changes.
	replicaEvery = 200 * time.Millisecond
	// replicaPause and replicaPauseMost are how soon it is asked again after a
	// failure: at first soon, since most pass, then no more often than costs nothing.
	replicaPause     = time.Second
	replicaPauseMost = 30 * time.Second
)

// replica is something that a secondary datacenter copies from the primary.
type replica struct {
	name string
	// pull asks the primary for what has changed since index, waiting for it, and
	// copies that. It returns the index at which it asks again.
	pull func(ctx context.Context, index uint64) (uint64, error)
}

// follow keeps a copy up to date until ctx ends, which is when this server no
// longer leads its datacenter.
func (s *Server) follow(ctx context.Context, r replica) {
	log := s.deps.Log.With(zap.String("what", r.name), zap.String("primary", s.primary()))
	var index uint64
	failures, current := 0, false
	s.progress.Note(r.name, func(*copied.Copy) {})
	defer s.progress.Drop(r.name)
	for ctx.Err() == nil {
		began := time.Now()
		next, err := r.pull(ctx, index)
		if err == nil {
			if next < index {
				next = 0 // the primary was restored, or is another one: all of it again
			}
			index, failures = next, 0
			s.progress.Note(r.name, func(c *copied.Copy) { c.Index, c.Current, c.At, c.Error = index, true, time.Now(), "" })
			if !current {
				log.Info("replication from the primary datacenter is up to date", zap.Uint64("index", index))
				current = true
			}
			select {
			case <-time.After(replicaEvery - time.Since(began)):
			case <-ctx.Done():
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if failures == 0 {
			log.Warn("replication from the primary datacenter failed; trying again", zap.Error(err))
		}
		failures++
		current = false
		s.progress.Note(r.name, func(c *copied.Copy) { c.Current, c.Error = false, err.Error() })
		pause := min(replicaPause<<min(failures-1, 6), replicaPauseMost)
		select {
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		case <-ctx.Done():
		}
	}
}

// Copies is how copying from the primary goes; nothing where nothing is copied.
func (s *Server) Copies() []copied.Copy { return s.progress.All() }

// ReplicateConfig is the leader's duty, in a secondary datacenter, to copy the
// primary's config entries, until ctx ends.
func (s *Server) ReplicateConfig(ctx context.Context) {
	if s.primary() == s.cfg.Datacenter || s.deps.Remote == nil {
		return
	}
	s.follow(ctx, replica{"config entries", s.pullConfig})
}

func (s *Server) pullConfig(ctx context.Context, index uint64) (uint64, error) {
	out, err := rpc.Call(ctx, s.deps.Remote, rpc.ConfigList, &rpc.ConfigListRequest{ReadOptions: s.fromPrimary(index)})
	if err != nil {
		return 0, err
	}
	// What is the same is not written again; what the primary does not have goes.
	_, have := s.store.State().ConfigEntries().List(nil, "")
	gone := map[[2]string]bool{}
	known := map[[2]string]*configentry.Entry{}
	for _, e := range have {
		gone[[2]string{e.Kind, e.Name}] = true
		known[[2]string{e.Kind, e.Name}] = e
	}
	for _, e := range out.Entries {
		key := [2]string{e.Kind, e.Name}
		delete(gone, key)
		if old := known[key]; old != nil && old.Same(e) {
			continue
		}
		own, err := e.Clone() // it may be somebody else's
		if err == nil {
			err = own.Prepare()
		}
		if err != nil {
			return 0, fault.Newf(fault.Invalid, "config entry %s/%s: %w", e.Kind, e.Name, err)
		}
		if err := s.applyCopy(ctx, &fsm.ChangeConfig{Put: own}); err != nil {
			return 0, err
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(gone), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		if err := s.applyCopy(ctx, &fsm.ChangeConfig{Kind: key[0], Name: key[1]}); err != nil {
			return 0, err
		}
	}
	return out.Index, nil
}

func (s *Server) applyCopy(ctx context.Context, c *fsm.ChangeConfig) error {
	c.Copied = true
	return s.write(ctx, func(ctx context.Context) (uint64, error) {
		_, err := store.ChangeConfig(ctx, s.store, c)
		return 0, err
	})
}

// BootstrapConfig is the leader's duty to write the entries that the configuration
// names and that are not there. They belong to the primary datacenter.
func (s *Server) BootstrapConfig(ctx context.Context) {
	if s.primary() != s.cfg.Datacenter {
		return
	}
	for left := s.cfg.ConfigEntries; len(left) > 0 && ctx.Err() == nil; {
		e := left[0]
		none := uint64(0)
		err := s.write(ctx, func(ctx context.Context) (uint64, error) {
			_, err := store.ChangeConfig(ctx, s.store, &fsm.ChangeConfig{Put: e, CAS: &none})
			return 0, err
		})
		switch {
		case err == nil:
			left = left[1:]
		case errors.Is(err, fault.Invalid):
			s.deps.Log.Error("a config entry of config_entries.bootstrap does not fit to the others and was left out",
				zap.String("kind", e.Kind), zap.String("name", e.Name), zap.Error(err))
			left = left[1:]
		default:
			select {
			case <-time.After(replicaPause):
			case <-ctx.Done():
			}
		}
	}
}
