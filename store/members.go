package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// Members changes who belongs to the raft cluster. Only the leader can; Servers
// and Stats work anywhere.
type Members struct{ s *Store }

// Servers lists the members of the raft cluster and the index of the log entry
// that made them so.
func (m Members) Servers(ctx context.Context) (index uint64, servers []raft.Server, err error) {
	n, err := m.s.running()
	if err != nil {
		return 0, nil, err
	}
	f := n.GetConfiguration()
	if err := m.s.await(ctx, f); err != nil {
		return 0, nil, m.s.explain(err)
	}
	return f.Index(), f.Configuration().Servers, nil
}

// Configuration lists the members in the known shape, with names from the pool.
func (m Members) Configuration(ctx context.Context) (*rpc.RaftConfigurationReply, error) {
	index, servers, err := m.Servers(ctx)
	if err != nil {
		return nil, err
	}
	leader := m.s.LeaderID()
	names := map[string]string{}
	for _, c := range m.s.deps.pool() {
		names[c.ID] = c.Name
	}
	out := &rpc.RaftConfigurationReply{Index: index}
	for _, sv := range servers {
		node, known := names[string(sv.ID)]
		if !known {
			node = "(unknown)"
		}
		out.Servers = append(out.Servers, &rpc.RaftServer{
			ID: string(sv.ID), Node: node, Address: string(sv.Address), Leader: string(sv.ID) == leader,
			ProtocolVersion: "3", Voter: sv.Suffrage == raft.Voter, LastIndex: m.s.pilot.lastIndex(string(sv.ID)),
		})
	}
	return out, nil
}

// pool lists who is in the pool, where there is one.
func (d Deps) pool() []Candidate {
	if d.Pool == nil {
		return nil
	}
	return d.Pool()
}

// replica reports that a server shall never have a vote.
func (d Deps) replica(id string) bool {
	return slices.ContainsFunc(d.pool(), func(c Candidate) bool { return c.ID == id && c.NonVoter })
}

// AddServer takes a server in, with a vote or without, or learns its new address;
// it does nothing where the server stands there so. A voter stays one, and who
// has no vote gets it from autopilot when it has caught up: at once while
// autopilot is young, else after the stabilisation time.
func (m Members) AddServer(ctx context.Context, id, addr string, voter bool) error {
	n, servers, err := m.change(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(servers, func(sv raft.Server) bool { return string(sv.ID) == id }) {
		if err := m.free(ctx, id); err != nil {
			return err
		}
	}
	for _, sv := range servers {
		if string(sv.ID) != id {
			if string(sv.Address) == addr && string(sv.ID) != m.s.cfg.NodeID && m.movedOn(string(sv.ID)) {
				// The machine was set up anew: raft takes no address twice.
				m.s.logger.Info("removing a server whose address another one has now", zap.String("id", string(sv.ID)), zap.String("address", addr), zap.String("new", id))
				if err := m.done(ctx, n.RemoveServer(sv.ID, 0, 0)); err != nil {
					return err
				}
			}
			continue
		}
		voter = voter || sv.Suffrage == raft.Voter
		if string(sv.Address) == addr && (sv.Suffrage == raft.Voter) == voter {
			return nil
		}
	}
	if voter {
		return m.done(ctx, n.AddVoter(raft.ServerID(id), raft.ServerAddress(addr), 0, 0))
	}
	return m.done(ctx, n.AddNonvoter(raft.ServerID(id), raft.ServerAddress(addr), 0, 0))
}

// free asks a server that is not in the cluster whether it belongs to another one:
// what the pool tells of it may be a moment old. Who does not answer is not taken in,
// as it would count and could not be told anything.
func (m Members) free(ctx context.Context, id string) error {
	if m.s.deps.Peers == nil || id == m.s.cfg.NodeID {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, freeTimeout)
	defer cancel()
	r, err := m.s.deps.Peers.Stats(ctx, id)
	switch {
	case err != nil:
		return fault.Newf(fault.Unavailable, "server %s does not say whether it belongs to a cluster: %w", id, err)
	case foreign(m.s, r.ClusterID):
		return fault.Newf(fault.Conflict, "server %s belongs to cluster %s", id, r.ClusterID)
	}
	return nil
}

// foreign reports that an ID is that of another cluster.
func foreign(s *Store, cluster string) bool {
	ours := s.ClusterID()
	return cluster != "" && ours != "" && cluster != ours
}

// movedOn reports that the pool knows no living server of the ID: it is not at
// the address any more.
func (m Members) movedOn(id string) bool {
	return !slices.ContainsFunc(m.s.deps.pool(), func(c Candidate) bool { return c.ID == id && c.Status == "alive" })
}

// RemoveServer takes a server out of the cluster; fault.NotFound if it is not in it.
func (m Members) RemoveServer(ctx context.Context, id string) error {
	n, servers, err := m.change(ctx)
	if err != nil {
		return err
	}
	for _, sv := range servers {
		if string(sv.ID) == id {
			return m.done(ctx, n.RemoveServer(sv.ID, 0, 0))
		}
	}
	return fault.Newf(fault.NotFound, "id %q was not found in the Raft configuration", id)
}

// RemoveForeign takes a server out that belongs to another cluster. One with a vote
// is left to people: it was one of this cluster when it got it.
func (m Members) RemoveForeign(ctx context.Context, id string) error {
	n, servers, err := m.change(ctx)
	if err != nil {
		return err
	}
	for _, sv := range servers {
		if string(sv.ID) == id && sv.Suffrage != raft.Voter {
			return m.done(ctx, n.RemoveServer(sv.ID, 0, 0))
		}
	}
	return nil
}

// RemovePeer takes a server out that a person names by ID or address.
func (m Members) RemovePeer(ctx context.Context, id, addr string) error {
	if id != "" {
		return m.RemoveServer(ctx, id)
	}
	_, servers, err := m.change(ctx)
	if err != nil {
		return err
	}
	for _, sv := range servers {
		if string(sv.Address) == addr {
			return m.RemoveServer(ctx, string(sv.ID))
		}
	}
	return fault.Newf(fault.NotFound, "address %q was not found in the Raft configuration", addr)
}

// DemoteServer takes the vote from a server.
func (m Members) DemoteServer(ctx context.Context, id string) error {
	n, _, err := m.change(ctx)
	if err != nil {
		return err
	}
	return m.done(ctx, n.DemoteVoter(raft.ServerID(id), 0, 0))
}

// PromoteServer gives a member a vote.
func (m Members) PromoteServer(ctx context.Context, id string) error {
	n, servers, err := m.change(ctx)
	if err != nil {
		return err
	}
	for _, sv := range servers {
		if string(sv.ID) == id {
			return m.done(ctx, n.AddVoter(sv.ID, sv.Address, 0, 0))
		}
	}
	return fault.Newf(fault.NotFound, "id %q was not found in the Raft configuration", id)
}

// TransferLeadership hands leadership to a server ("" = whichever has most of the
// log), and returns when another server leads.
func (m Members) TransferLeadership(ctx context.Context, id string) error {
	n, servers, err := m.change(ctx)
	if err != nil {
		return err
	}
	if id == "" {
		return m.transferred(ctx, n, n.LeadershipTransfer())
	}
	for _, sv := range servers {
		if string(sv.ID) == id {
			return m.transferred(ctx, n, n.LeadershipTransferToServer(sv.ID, sv.Address))
		}
	}
	return fault.Newf(fault.NotFound, "id %q was not found in the Raft configuration", id)
}

// transferTick is how often it is looked whether the new leader is known.
const transferTick = 5 * time.Millisecond

// transferred waits for the transfer, and then, raft being done when its message
// is out, until this server follows somebody.
func (m Members) transferred(ctx context.Context, n *node, f raft.Future) error {
	if err := m.s.await(ctx, f); err != nil {
		if fault.Of(err) != "" {
			return err
		}
		return fault.With(fault.Unavailable, err) // raft's own text, "cannot find peer" among them
	}
	tick := time.NewTicker(transferTick)
	defer tick.Stop()
	for {
		if _, id := n.LeaderWithID(); id != "" && string(id) != m.s.cfg.NodeID {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fault.Newf(fault.Unknown, "no new leader is known yet: %w", context.Cause(ctx))
		case <-m.s.life.Done():
			return fault.Newf(fault.Unavailable, "the store is closing")
		}
	}
}

// Leave takes this server out of the cluster in good order: a leader hands over
// first, so that the others need no election timeout. removal, which asks the
// leader to remove this server, is called once another one leads.
func (m Members) Leave(ctx context.Context, removal func(context.Context) error) error {
	if m.s.IsLeader() {
		_, servers, err := m.Servers(ctx)
		if err != nil {
			return err
		}
		if len(servers) <= 1 {
			return nil // nobody is there to take over; the data wait for the next start
		}
		if err := m.TransferLeadership(ctx, ""); err != nil {
			return err
		}
	}
	return removal(ctx)
}

// Stats tells how far this server's log is.
func (m Members) Stats() (*rpc.RaftStatsReply, error) {
	n, err := m.s.running()
	if err != nil {
		return nil, err
	}
	out := &rpc.RaftStatsReply{LastContact: m.s.LastContact(), LastIndex: n.LastIndex(), LastTerm: lastTerm(n), ClusterID: m.s.former.ClusterID()}
	if n.LastContact().IsZero() && !m.s.IsLeader() {
		out.LastContact = -1
	}
	return out, nil
}

// change begins a change of the configuration.
func (m Members) change(ctx context.Context) (*node, []raft.Server, error) {
	n, err := m.s.running()
	if err != nil {
		return nil, nil, err
	}
	if !m.s.IsLeader() {
		return nil, nil, m.s.notLeader()
	}
	_, servers, err := m.Servers(ctx)
	return n, servers, err
}

func (m Members) done(ctx context.Context, f raft.Future) error {
	err := m.s.await(ctx, f)
	if err == nil || errors.Is(err, fault.Unknown) {
		return err
	}
	return m.s.explain(err)
}
