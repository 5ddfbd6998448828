package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"consul.internal/internal/fault"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
)

// enqueueTimeout bounds the wait for a place in raft's queue where ctx does not.
const enqueueTimeout = 10 * time.Second

// Register puts a node, service and checks into the catalog. It returns the
// index of its log entry.
func (s *Store) Register(ctx context.Context, r *state.Registration) (uint64, error) {
	_, index, err := s.apply(ctx, fsm.TypeRegister, r)
	return index, err
}

// Deregister takes a node, service or check out of the catalog.
func (s *Store) Deregister(ctx context.Context, d *state.Deregistration) (uint64, error) {
	_, index, err := s.apply(ctx, fsm.TypeDeregister, d)
	return index, err
}

// Apply proposes a command of a noun that has a package of its own: see apply.
func Apply(ctx context.Context, s *Store, t fsm.Type, body any) (any, uint64, error) {
	return s.apply(ctx, t, body)
}

// apply proposes a command and waits until it is committed and applied. Only the
// leader can; on any other server the error is fault.NotLeader or fault.NoLeader.
// fault.Unknown says that the command may or may not happen.
func (s *Store) apply(ctx context.Context, t fsm.Type, body any) (any, uint64, error) {
	if !s.IsLeader() {
		return nil, 0, s.notLeader()
	}
	shared := uint16(fsm.FirstLevel)
	if s.fsm.LevelOf(t) > shared { // else every version knows it, and nobody need be asked
		shared = level(s)
	}
	cmd, err := s.fsm.Encode(t, body, shared)
	if err != nil {
		return nil, 0, err
	}
	wait := enqueueTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	if wait <= 0 || ctx.Err() != nil {
		return nil, 0, fault.With(fault.Unavailable, context.DeadlineExceeded)
	}
	n, err := s.running()
	if err != nil {
		return nil, 0, err
	}
	f := n.Apply(cmd, wait)
	if err := s.await(ctx, f); err != nil {
		return nil, 0, s.explain(err)
	}
	r, ok := f.Response().(fsm.Result)
	if !ok {
		return nil, 0, fault.Newf(fault.Unknown, "the log entry's result is missing")
	}
	return r.Value, f.Index(), r.Err
}

// CommandLevel is the newest level of log commands that this version knows. The
// pool tells it to the other servers.
const CommandLevel = fsm.Level

// level is that of the commands which this server may propose.
func level(s *Store) uint16 {
	n := s.node.Load()
	if n == nil || s.deps.Pool == nil {
		return CommandLevel
	}
	f := n.GetConfiguration() // answers from memory
	if f.Error() != nil {
		return CommandLevel
	}
	return sharedLevel(CommandLevel, s.cfg.NodeID, f.Configuration().Servers, s.deps.Pool())
}

// sharedLevel is the level of commands that all members of the cluster know, of
// which self knows own, as far as the pool tells. One that is not in the pool does
// not count: it cannot be asked, and would hold up everything for ever.
func sharedLevel(own uint16, self string, members []raft.Server, pool []Candidate) uint16 {
	for _, c := range pool {
		in := slices.ContainsFunc(members, func(sv raft.Server) bool { return string(sv.ID) == c.ID })
		if in && c.ID != self && c.Status != "left" {
			own = min(own, max(c.Level, fsm.FirstLevel))
		}
	}
	return own
}

// explain gives raft's errors the kinds that tell a caller what to do.
func (s *Store) explain(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return s.notLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fault.Newf(fault.Unavailable, "the log is too busy: %w", err)
	case fault.Of(err) != "":
		return err
	default:
		// Among them raft.ErrLeadershipLost, ErrAbortedByRestore, ErrRaftShutdown
		// and errors of the disk: the entry may have reached other servers.
		return fault.Newf(fault.Unknown, "the write may or may not have happened: %w", err)
	}
}

func (s *Store) notLeader() error {
	if s.LeaderAddr() == "" || s.IsLeader() {
		return fault.Newf(fault.NoLeader, "No cluster leader")
	}
	return fault.Newf(fault.NotLeader, "this server is not the leader")
}
