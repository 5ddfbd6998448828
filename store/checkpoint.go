package store

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"consul.internal/rpc"
	"consul.internal/store/checkpoint"
	"consul.internal/store/fsm"
)

// Comparer compares the states of the servers.
func Comparer(s *Store) *checkpoint.Comparer { return s.compare }

func newComparer(s *Store) *checkpoint.Comparer {
	deps := checkpoint.Deps{
		Self: s.cfg.NodeID, Logger: s.logger, Life: s.life, Run: s.work.run, Sum: s.fsm.Sum,
		Propose: func(ctx context.Context, c fsm.Checkpoint) (uint64, error) {
			_, index, err := s.apply(ctx, fsm.TypeCheckpoint, c)
			return index, err
		},
		Servers: func(ctx context.Context) ([]*rpc.RaftServer, error) {
			out, err := s.Members().Configuration(ctx)
			if err != nil {
				return nil, err
			}
			return out.Servers, nil
		},
		Ask: func(ctx context.Context, id string, in *rpc.RaftSumRequest) (*rpc.RaftSumReply, error) {
			if s.deps.Peers == nil {
				return nil, errors.New("there is no way to other servers")
			}
			return s.deps.Peers.Sum(ctx, id, in)
		},
		Transfer: s.Members().TransferLeadership,
	}
	if s.deps.Demote != nil {
		deps.Renew = func(index uint64) error { return renew(s, index) }
	}
	c := checkpoint.New(deps)
	s.fsm.OnCheckpoint(c.Passed)
	s.RunLeader(c.Run)
	return c
}

// renew has this server give up its state and fetch that of the others, while it
// goes on answering from the names that it knows.
func renew(s *Store, index uint64) error {
	err := giveUpVote(s, s.ClusterID(), "the state of this server is not that of the others")
	if err == nil {
		n := s.node.Load()
		on := n.on
		on.until = index
		err = s.former.forget(s.life, n, on)
	}
	if err != nil {
		err = fmt.Errorf("this server's state differs from that of the others, and cannot be fetched anew: %w", err)
		if s.life.Err() == nil {
			s.fail(err)
		}
		return err
	}
	s.logger.Info("the state that differed is given up; this server fetches everything from the others", zap.Uint64("index", index))
	return nil
}
