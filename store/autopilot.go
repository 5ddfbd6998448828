package store

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
	"go.uber.org/zap"

	"consul.internal/internal/fault"
	"consul.internal/internal/logx"
	"consul.internal/rpc"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
)

const (
	// pilotUpdate is how often the health of the servers is taken; half of it
	// bounds the questions to each.
	pilotUpdate = time.Second
	// pilotReconcile is how often servers are promoted and dead ones removed. The
	// stabilisation time, not this, decides how soon.
	pilotReconcile = time.Second
)

// defaultAutopilot has the known defaults.
func defaultAutopilot() state.Autopilot {
	return state.Autopilot{
		CleanupDeadServers: true, LastContactThreshold: 200 * time.Millisecond, MaxTrailingLogs: 250,
		ServerStabilizationTime: 10 * time.Second,
	}
}

// Autopilot promotes servers that have caught up and removes those that are dead,
// on the leader and while it leads.
type Autopilot struct {
	s  *Store
	mu sync.Mutex
	ap *autopilot.Autopilot // nil while this server does not lead
}

func newAutopilot(s *Store) *Autopilot { return &Autopilot{s: s} }

// Run is autopilot as a duty of the leader (see RunLeader).
func (a *Autopilot) Run(ctx context.Context) {
	n := a.s.node.Load()
	p := &pilot{s: a.s}
	ap := autopilot.New(pilotRaft{n.Raft, a.s}, p, autopilot.WithLogger(logx.HCLog(a.s.logger)), autopilot.WithPromoter(&promoter{p: p}),
		autopilot.WithUpdateInterval(pilotUpdate), autopilot.WithReconcileInterval(pilotReconcile))
	a.mu.Lock()
	a.ap = ap
	a.mu.Unlock()
	ap.Start(ctx)
	<-ctx.Done()
	<-ap.Stop()
	a.mu.Lock()
	a.ap = nil
	a.mu.Unlock()
}

// Config is what autopilot goes by, as far as this server knows.
func (a *Autopilot) Config() rpc.AutopilotConfig {
	c := a.s.state.Cluster().Autopilot
	if c == nil {
		d := defaultAutopilot()
		c = &d
	}
	return rpc.AutopilotConfig(*c)
}

// SetConfig replaces what autopilot goes by. With cas it does so only if the
// ModifyIndex is still c's; it reports whether it did.
func (a *Autopilot) SetConfig(ctx context.Context, c rpc.AutopilotConfig, cas bool) (bool, error) {
	if c.LastContactThreshold < 0 || c.ServerStabilizationTime < 0 {
		return false, fault.Newf(fault.Invalid, "autopilot's durations must not be negative")
	}
	set, _, err := a.s.apply(ctx, fsm.TypeAutopilot, fsm.SetAutopilot{Config: state.Autopilot(c), CAS: cas})
	if err != nil {
		return false, err
	}
	ok, _ := set.(bool)
	return ok, nil
}

// Health is the health of the servers. Only the leader knows it.
func (a *Autopilot) Health() (*rpc.AutopilotHealthReply, error) {
	st, err := a.view()
	if err != nil {
		return nil, err
	}
	ids := make([]raft.ServerID, 0, len(st.Servers))
	for id := range st.Servers {
		ids = append(ids, id)
	}
	autopilot.SortServers(ids, st)
	out := &rpc.AutopilotHealthReply{Healthy: st.Healthy, FailureTolerance: st.FailureTolerance, Servers: []rpc.AutopilotServer{}}
	for _, id := range ids {
		out.Servers = append(out.Servers, pilotServer(st.Servers[id]))
	}
	return out, nil
}

// State is all that autopilot knows. Only the leader knows it.
func (a *Autopilot) State() (*rpc.AutopilotStateReply, error) {
	st, err := a.view()
	if err != nil {
		return nil, err
	}
	out := &rpc.AutopilotStateReply{
		Healthy: st.Healthy, FailureTolerance: st.FailureTolerance, Leader: string(st.Leader),
		Servers: map[string]rpc.AutopilotServer{}, Voters: []string{},
	}
	for id, sv := range st.Servers {
		out.Servers[string(id)] = pilotServer(sv)
	}
	for _, id := range st.Voters {
		out.Voters = append(out.Voters, string(id))
	}
	return out, nil
}

func (a *Autopilot) view() (*autopilot.State, error) {
	if !a.s.IsLeader() {
		return nil, a.s.notLeader()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ap == nil {
		return nil, fault.Newf(fault.Unavailable, "autopilot has not begun yet")
	}
	return a.ap.GetState(), nil
}

// lastIndex is how far a server's log is as far as known, 0 if not.
func (a *Autopilot) lastIndex(id string) uint64 {
	n := a.s.node.Load()
	if id == a.s.cfg.NodeID && n != nil {
		return n.LastIndex()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ap != nil {
		if sv := a.ap.GetState().Servers[raft.ServerID(id)]; sv != nil {
			return sv.Stats.LastIndex
		}
	}
	return 0
}

func pilotServer(s *autopilot.ServerState) rpc.AutopilotServer {
	return rpc.AutopilotServer{
		ID: string(s.Server.ID), Name: s.Server.Name, Address: string(s.Server.Address),
		NodeStatus: string(s.Server.NodeStatus), Version: s.Server.Version, Meta: s.Server.Meta,
		LastContact: s.Stats.LastContact, LastTerm: s.Stats.LastTerm, LastIndex: s.Stats.LastIndex,
		Healthy: s.Health.Healthy, StableSince: s.Health.StableSince, Status: string(s.State),
		Voter: s.HasVotingRights(), Leader: s.State == autopilot.RaftLeader, NodeType: string(s.Server.NodeType),
	}
}

// pilotRaft is raft as autopilot changes it. A change that stands in raft's queue
// when it shuts down is never answered (see await), and autopilot would wait for it
// for ever, and whoever closes the store for autopilot.
type pilotRaft struct {
	*raft.Raft
	s *Store
}

type pilotFuture struct {
	raft.IndexFuture
	s *Store
}

// Error implements raft.Future.
func (f pilotFuture) Error() error { return f.s.await(context.Background(), f.IndexFuture) }

// AddNonvoter implements autopilot.Raft.
func (r pilotRaft) AddNonvoter(id raft.ServerID, addr raft.ServerAddress, prev uint64, wait time.Duration) raft.IndexFuture {
	return pilotFuture{r.Raft.AddNonvoter(id, addr, prev, wait), r.s}
}

// AddVoter implements autopilot.Raft.
func (r pilotRaft) AddVoter(id raft.ServerID, addr raft.ServerAddress, prev uint64, wait time.Duration) raft.IndexFuture {
	return pilotFuture{r.Raft.AddVoter(id, addr, prev, wait), r.s}
}

// DemoteVoter implements autopilot.Raft.
func (r pilotRaft) DemoteVoter(id raft.ServerID, prev uint64, wait time.Duration) raft.IndexFuture {
	return pilotFuture{r.Raft.DemoteVoter(id, prev, wait), r.s}
}

// RemoveServer implements autopilot.Raft.
func (r pilotRaft) RemoveServer(id raft.ServerID, prev uint64, wait time.Duration) raft.IndexFuture {
	return pilotFuture{r.Raft.RemoveServer(id, prev, wait), r.s}
}

// pilot is what autopilot knows and does through this package.
type pilot struct{ s *Store }

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (p *pilot) AutopilotConfig() *autopilot.Config {
	c := p.s.pilot.Config()
	return &autopilot.Config{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: c.LastContactThreshold, MaxTrailingLogs: c.MaxTrailingLogs,
		MinQuorum: uint(p.floor()), ServerStabilizationTime: c.ServerStabilizationTime,
	}
}

// floor is the fewest voters that autopilot may leave.
func (p *pilot) floor() int {
	return max(int(p.s.pilot.Config().MinQuorum), p.s.state.Cluster().Expect)
}

// NotifyState implements autopilot.ApplicationIntegration.
func (p *pilot) NotifyState(*autopilot.State) {}

// KnownServers implements autopilot.ApplicationIntegration.
func (p *pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	known := map[raft.ServerID]*autopilot.Server{}
	list := p.s.deps.pool()
	if p.s.deps.Pool == nil { // a server that stands alone
		list = []Candidate{{ID: p.s.cfg.NodeID, Address: string(p.s.deps.Transport.LocalAddr()), Status: "alive"}}
	}
	for _, c := range list {
		known[raft.ServerID(c.ID)] = &autopilot.Server{
			ID: raft.ServerID(c.ID), Name: c.Name, Address: raft.ServerAddress(c.Address), NodeStatus: autopilot.NodeStatus(c.Status),
			Version: c.Version, Meta: c.Meta, RaftVersion: 3, NodeType: autopilot.NodeVoter, IsLeader: c.ID == p.s.cfg.NodeID,
		}
	}
	return known
}

// FetchServerStats implements autopilot.ApplicationIntegration.
func (p *pilot) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		stats = map[raft.ServerID]*autopilot.ServerStats{}
	)
	for id := range servers {
		wg.Go(func() {
			var (
				r   *rpc.RaftStatsReply
				err error
			)
			switch {
			case string(id) == p.s.cfg.NodeID:
				r, err = p.s.Members().Stats()
			case p.s.deps.Peers == nil:
				return
			default:
				r, err = p.s.deps.Peers.Stats(ctx, string(id))
			}
			if err != nil || foreign(p.s, r.ClusterID) {
				return // autopilot goes by the age of what it has
			}
			mu.Lock()
			defer mu.Unlock()
			stats[id] = &autopilot.ServerStats{LastContact: r.LastContact, LastTerm: r.LastTerm, LastIndex: r.LastIndex}
		})
	}
	wg.Wait()
	for id := range servers { // who does not answer is not healthy, whatever it said before
		if stats[id] == nil {
			stats[id] = &autopilot.ServerStats{LastContact: -1}
		}
	}
	return stats
}

// RemoveFailedServer implements autopilot.ApplicationIntegration.
func (p *pilot) RemoveFailedServer(sv *autopilot.Server) {
	p.s.work.run(func() {
		ctx, cancel := context.WithTimeout(p.s.life, enqueueTimeout)
		defer cancel()
		if err := p.s.Members().RemoveServer(ctx, string(sv.ID)); err != nil {
			p.s.logger.Warn("cannot remove a failed server; trying again", zap.String("server", sv.Name), zap.Error(err))
			return
		}
		p.s.logger.Info("autopilot has removed a failed server", zap.String("server", sv.Name), zap.String("id", string(sv.ID)))
		if p.s.deps.Forget != nil {
			p.s.deps.Forget(Candidate{ID: string(sv.ID), Name: sv.Name, Address: string(sv.Address)})
		}
	})
}

// promoter is autopilot's own, with a floor: it never removes so many voters that
// fewer are left than the cluster shall have. A dead voter is replaced by adding
// one first.
type promoter struct {
	autopilot.StablePromoter
	p *pilot
}

// CalculatePromotionsAndDemotions implements autopilot.Promoter.
func (r *promoter) CalculatePromotionsAndDemotions(c *autopilot.Config, st *autopilot.State) autopilot.RaftChanges {
	changes := r.StablePromoter.CalculatePromotionsAndDemotions(c, st)
	changes.Promotions = slices.DeleteFunc(changes.Promotions, func(id raft.ServerID) bool {
		return r.p.s.deps.replica(string(id))
	})
	return changes
}

// FilterFailedServerRemovals implements autopilot.Promoter.
func (r *promoter) FilterFailedServerRemovals(_ *autopilot.Config, st *autopilot.State, f *autopilot.FailedServers) *autopilot.FailedServers {
	spare := max(len(st.Voters)-r.p.floor(), 0)
	out := *f
	out.StaleVoters = f.StaleVoters[:min(spare, len(f.StaleVoters))]
	spare -= len(out.StaleVoters)
	out.FailedVoters = f.FailedVoters[:min(spare, len(f.FailedVoters))]
	return &out
}

// lastTerm is the term of the last entry of a server's log.
func lastTerm(n *node) uint64 {
	// raft shows it nowhere else.
	term, err := strconv.ParseUint(n.Stats()["last_log_term"], 10, 64)
	if err != nil {
		return 0
	}
	return term
}
