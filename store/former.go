package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store/disklog"
)

// Peers reaches one certain server by its node ID.
type Peers interface {
	Pledge(ctx context.Context, id string, in *rpc.PledgeRequest) (*rpc.PledgeReply, error)
	Stats(ctx context.Context, id string) (*rpc.RaftStatsReply, error)
	Sum(ctx context.Context, id string, in *rpc.RaftSumRequest) (*rpc.RaftSumReply, error)
}

const (
	// formTick is how often the pool is looked at for enough servers: a cluster
	// should not take longer to form than its members to meet.
	formTick = 100 * time.Millisecond
	// formTimeout bounds one round of questions; three fsyncs and a round trip.
	formTimeout = 3 * time.Second
	// formPause, plus as much again at random, lies between failed attempts, so
	// that two servers that see different pools do not outbid each other for ever.
	formPause = 300 * time.Millisecond
	// askTries is how often a server is asked in one round: an answer that got lost
	// costs only itself, not the whole round.
	askTries = 4
	// askTimeout bounds one try: longer than three fsyncs of a busy disk, shorter
	// than TCP waits for the answer to a lost first packet.
	askTimeout = 750 * time.Millisecond
	// askPause lies between tries, for a server that refuses connections.
	askPause = 50 * time.Millisecond
	// maxFounders bounds what a request may hold; nobody founds with more.
	maxFounders = 64
)

// Former founds a cluster with other servers (see pledge.go).
type Former struct {
	s    *Store
	path string // of the vow; "" in memory

	lock  chan struct{} // held while the vow is judged, changed or acted upon
	vow   vow
	heard uint64 // highest round
	said  string // last reason for waiting that was logged

	mu        sync.Mutex
	clusterID string // to which this server is pledged
}

func newFormer(s *Store) *Former { return &Former{s: s, lock: make(chan struct{}, 1)} }

const vowMagic = "consul-pledge 1"

// load reads what this server has bound itself to.
func (f *Former) load(dir string) error {
	f.path = filepath.Join(dir, "pledge")
	f.vow = vow{}
	if err := disklog.ReadSealed(f.path, vowMagic, &f.vow); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.note()
	return nil
}

// bind makes v what this server is bound to, durably. The lock is held.
func (f *Former) bind(v vow) error {
	if f.path != "" {
		if err := disklog.WriteSealed(f.path, vowMagic, v); err != nil {
			return err
		}
	}
	f.vow = v
	f.note()
	return nil
}

func (f *Former) note() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clusterID = ""
	if p := f.vow.Pledge; p != nil && p.Ballot == f.vow.Promised {
		f.clusterID = p.ClusterID
	}
}

// ClusterID is that of the cluster to which this server belongs or is pledged,
// "" for none. Another one's raft messages are not for this server.
func (f *Former) ClusterID() string {
	if id := f.s.ClusterID(); id != "" {
		return id
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clusterID
}

func (f *Former) take(ctx context.Context) error {
	select {
	case f.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Newf(fault.Unavailable, "this server is busy with another attempt to found a cluster: %w", context.Cause(ctx))
	case <-f.s.life.Done():
		return fault.Newf(fault.Unavailable, "the store is closing")
	}
}

func (f *Former) release() { <-f.lock }

// free reports that this server belongs to nothing: its log is empty and it has
// cast no vote. The lock is held, so that no vote is on its way.
func (f *Former) free(n *node) (bool, error) {
	vote, err := n.stable.GetUint64([]byte("LastVoteTerm")) // raft's own key
	if err != nil && err.Error() != "not found" {
		return false, err
	}
	return vote == 0 && n.LastIndex() == 0, nil
}

// Answer answers another server that wants to found a cluster.
func (f *Former) Answer(ctx context.Context, in *rpc.PledgeRequest) (*rpc.PledgeReply, error) {
	if in.Pledge != nil && len(in.Pledge.Set) > maxFounders {
		return nil, fault.Newf(fault.Invalid, "a cluster cannot be founded by %d servers", len(in.Pledge.Set))
	}
	n := f.s.node.Load()
	if n == nil {
		return nil, fault.Newf(fault.Unavailable, "raft does not run on this server")
	}
	if err := f.take(ctx); err != nil {
		return nil, err
	}
	defer f.release()
	free, err := f.free(n)
	if err != nil {
		return nil, err
	}
	next, reply := f.vow.answer(in, free)
	if reply.Granted {
		if err := f.bind(next); err != nil {
			return nil, err
		}
		f.heard = max(f.heard, in.Ballot.Round)
	}
	reply.ClusterID = f.s.ClusterID()
	return &reply, nil
}

// vote passes a request for a vote on to raft unless a vow forbids that. While
// raft decides, the vow stays as it is.
func (f *Former) vote(call raft.RPC, hand func(raft.RPC)) {
	n := f.s.node.Load()
	if n != nil && n.LastIndex() > 0 {
		hand(call)
		return
	}
	candidate := ""
	if c, ok := call.Command.(raft.WithRPCHeader); ok {
		candidate = string(c.GetRPCHeader().ID)
	}
	ok := n != nil && f.s.work.run(func() {
		ctx, cancel := context.WithTimeout(context.Background(), formTimeout)
		defer cancel()
		if err := f.take(ctx); err != nil {
			call.Respond(nil, err)
			return
		}
		defer f.release()
		if n.LastIndex() == 0 && !f.vow.mayVote(candidate) {
			call.Respond(nil, fmt.Errorf("this server's log is empty and it is not pledged to found a cluster with server %s", candidate))
			return
		}
		answer := make(chan raft.RPCResponse, 1)
		hand(raft.RPC{Command: call.Command, Reader: call.Reader, RespChan: answer})
		select {
		case r := <-answer:
			call.Respond(r.Response, r.Error)
		case <-f.s.stopped:
			call.Respond(nil, raft.ErrTransportShutdown)
		}
	})
	if !ok {
		call.Respond(nil, raft.ErrTransportShutdown)
	}
}

// run founds the cluster once enough servers are there, or ends when another
// server has done it. on is what raft stands on.
func (f *Former) run(on founder) {
	tick := time.NewTicker(formTick)
	defer tick.Stop()
	ctx := f.s.life
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		n := f.s.node.Load()
		if n == nil {
			continue // it heals
		}
		if n.LastIndex() > 0 {
			f.watchOrphan(ctx, n, on)
			return
		}
		p, why := plot(f.s.cfg.NodeID, f.s.cfg.Expect, f.s.deps.Pool())
		if why == "" {
			var err error
			if why, err = f.attempt(ctx, n, p); err != nil {
				why = err.Error()
			}
			if why != "" {
				select {
				case <-time.After(formPause + rand.N(formPause)):
				case <-ctx.Done():
				}
			}
		}
		if why != "" && why != f.said {
			f.said = why
			f.s.logger.Info("no cluster yet", zap.String("waiting", why))
		}
	}
}

// attempt is one round. why tells what stood against it.
func (f *Former) attempt(ctx context.Context, n *node, p plan) (why string, err error) {
	self := f.s.cfg.NodeID
	if err := f.take(ctx); err != nil {
		return "", err
	}
	free, err := f.free(n)
	if err != nil || !free {
		f.release()
		return "this server has voted in another cluster", err
	}
	ballot := rpc.Ballot{Round: max(f.heard, f.vow.Promised.Round) + 1, By: self}
	f.heard = ballot.Round
	next, mine := f.vow.answer(&rpc.PledgeRequest{Ballot: ballot}, true)
	err = f.bind(next)
	f.release()
	if err != nil {
		return "", err
	}
	promises := f.ask(ctx, p.ask, &rpc.PledgeRequest{Ballot: ballot})
	promises[self] = mine
	if ok, why := judge(p, promises); !ok {
		return why, nil
	}
	pledge := &rpc.Pledge{Ballot: ballot, Set: p.set}
	if mine.Pledge != nil && mine.Pledge.Ballot.By == self {
		pledge.ClusterID = mine.Pledge.ClusterID // of an attempt that was cut short
	} else if pledge.ClusterID, err = uuid.GenerateUUID(); err != nil {
		return "", err
	}
	in := &rpc.PledgeRequest{Ballot: ballot, Pledge: pledge}
	if r, err := f.Answer(ctx, in); err != nil || !r.Granted {
		return "another attempt came between", err
	}
	ids := make([]string, 0, len(p.set))
	for _, m := range p.set {
		ids = append(ids, m.ID)
	}
	replies := f.ask(ctx, ids, in)
	for _, m := range p.set {
		if r := replies[m.ID]; m.ID != self && !r.Granted {
			return fmt.Sprintf("server %s does not pledge itself: %s", m.ID, r.Reason), nil
		}
	}
	return f.bootstrap(ctx, n, pledge)
}

// ask asks servers, but not this one, at once.
func (f *Former) ask(ctx context.Context, ids []string, in *rpc.PledgeRequest) map[string]rpc.PledgeReply {
	ctx, cancel := context.WithTimeout(ctx, formTimeout)
	defer cancel()
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		replies = map[string]rpc.PledgeReply{}
	)
	for _, id := range ids {
		if id == f.s.cfg.NodeID {
			continue
		}
		wg.Go(func() {
			r, err := f.askOne(ctx, id, in)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				replies[id] = rpc.PledgeReply{Reason: err.Error()}
				return
			}
			replies[id] = *r
		})
	}
	wg.Wait()
	if f.take(ctx) == nil {
		for _, r := range replies {
			f.heard = max(f.heard, r.Promised.Round)
		}
		f.release()
	}
	return replies
}

// askOne asks one server until it answers. To be asked the same twice changes
// nothing for it.
func (f *Former) askOne(ctx context.Context, id string, in *rpc.PledgeRequest) (r *rpc.PledgeReply, err error) {
	for try := range askTries {
		if try > 0 {
			select {
			case <-time.After(askPause):
			case <-ctx.Done():
				return nil, err
			}
		}
		bounded, cancel := context.WithTimeout(ctx, askTimeout)
		r, err = f.s.deps.Peers.Pledge(bounded, id, in)
		cancel()
		if err == nil {
			return r, nil
		}
	}
	return nil, err
}

// bootstrap is the last step: all have pledged themselves.
func (f *Former) bootstrap(ctx context.Context, n *node, p *rpc.Pledge) (string, error) {
	if err := f.take(ctx); err != nil {
		return "", err
	}
	defer f.release()
	free, err := f.free(n)
	if err != nil {
		return "", err
	}
	if !free || f.vow.Pledge == nil || f.vow.Pledge.Ballot != p.Ballot || f.vow.Promised != p.Ballot {
		return "another attempt came between", nil
	}
	var c raft.Configuration
	for _, m := range p.Set {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.Address)})
	}
	// A term without an entry or a vote is the trace of an attempt cut short.
	if err := n.stable.SetUint64([]byte("CurrentTerm"), 0); err != nil {
		return "", err
	}
	if err := f.s.await(ctx, n.BootstrapCluster(c)); err != nil {
		return "", fmt.Errorf("found the cluster: %w", err)
	}
	f.s.logger.Info("founded a cluster", zap.String("cluster", p.ClusterID), zap.Int("servers", len(p.Set)))
	stand(n.Raft, raft.ServerID(f.s.cfg.NodeID), n.door, f.s.logger)
	return "", nil
}
