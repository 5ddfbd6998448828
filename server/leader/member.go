package leader

import (
	"cmp"
	"context"
	"strconv"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/internal/version"
	"consul.internal/rpc"
	"go.uber.org/zap"
)

// Status is a member's state in the pool.
type Status uint8

// The states of a member.
const (
	Alive Status = iota
	// Failed members may come back; they stay in the catalog, critical.
	Failed
	// Left members went by their own will, or were taken out; they leave the catalog.
	Left
	// Leaving members will be one or the other soon; nothing is done meanwhile.
	Leaving
)

// Member is a member of the pool as the catalog needs it.
type Member struct {
	ID      string
	Name    string
	Address string
	Status  Status
	Server  *ServerInfo // nil for a client
}

// ServerInfo is what only servers have.
type ServerInfo struct {
	Port     int // of RPC and raft
	NonVoter bool
	Version  string
	Cluster  string // ID of the raft cluster that it belongs to, "" = none known
}

// Texts of the node check, as users grep for them.
const (
	healthName   = "Serf Health Status"
	aliveOutput  = "Agent alive and reachable"
	failedOutput = "Agent not live or unreachable"
)

// member brings the catalog, and raft's servers, in line with one member that
// lives or left.
func (r *Reconciler) member(ctx context.Context, m Member) error {
	switch m.Status {
	case Alive:
		if err := r.join(ctx, m); err != nil {
			return err
		}
		return r.alive(ctx, m, false)
	default:
		return r.gone(ctx, m, "left")
	}
}

// join makes a server part of the raft cluster. It gets its vote from autopilot,
// when it has kept up: one whose data were wiped must not have it before.
func (r *Reconciler) join(ctx context.Context, m Member) error {
	if m.Server == nil || r.Cluster == nil || m.ID == r.Self {
		return nil
	}
	if theirs := m.Server.Cluster; theirs != "" && r.ClusterID != nil && r.ClusterID() != "" && theirs != r.ClusterID() {
		r.Log.Error("a server of another raft cluster is in the pool of this datacenter; it is not taken in: give it an empty data directory, or another datacenter",
			zap.String("server", m.Name), zap.String("cluster", theirs))
		return r.Cluster.RemoveForeign(ctx, m.ID)
	}
	err := r.Cluster.AddServer(ctx, m.ID, m.address(), false)
	if kind := fault.Of(err); kind == fault.Conflict || kind == fault.Unavailable {
		// The pool will tell why, or it has just started.
		r.Log.Debug("a server is not taken into the raft cluster yet", zap.String("server", m.Name), zap.Error(err))
		r.later(m.Name)
		return nil
	}
	return err
}

func (m Member) address() string { return joinPort(m.Address, m.Server.Port) }

// alive puts a living member into the catalog, unless it stands there so. If it
// stands there as one that does not answer, that it does has to be known (certain):
// the pool may still have to learn of its death. Else the error is errSilence.
func (r *Reconciler) alive(ctx context.Context, m Member, certain bool) error {
	var service *catalog.Service
	if m.Server != nil {
		service = serverService(m)
	}
	same, err := r.stands(ctx, m, service, certain)
	if err != nil || same {
		return err
	}
	if err := r.succeed(ctx, m); err != nil {
		return err
	}
	r.Log.Info("member joined, marking health alive", zap.String("member", m.Name))
	_, err = rpc.Call(ctx, r.Caller, rpc.CatalogRegister, &rpc.RegisterRequest{
		Node: &catalog.Node{ID: m.ID, Name: m.Name, Address: m.Address},
		// The agent itself tells the rest of its node; do not take that away.
		SkipNodeUpdate: true,
		Service:        service,
		Checks:         []*catalog.Check{health(m.Name, catalog.Passing, aliveOutput)},
	})
	return err
}

// succeed clears the way for a member whose name another node ID has in the
// catalog as a member: the pool knows one node of a name, so the other is gone.
func (r *Reconciler) succeed(ctx context.Context, m Member) error {
	node, check, err := r.look(ctx, m.Name)
	if err != nil || node == nil || check == nil || node.ID == "" || node.ID == m.ID {
		return err
	}
	r.Log.Info("deregistering member", zap.String("member", m.Name), zap.String("reason", "its name belongs to another node ID now"),
		zap.String("was", node.ID), zap.String("is", m.ID))
	_, err = rpc.Call(ctx, r.Caller, rpc.CatalogDeregister, &rpc.DeregisterRequest{Node: m.Name})
	return err
}

func health(node string, status catalog.Status, output string) *catalog.Check {
	return &catalog.Check{Node: node, CheckID: catalog.SerfHealth, Name: healthName, Status: status, Output: output}
}

// failed turns a member's node critical, once a direct probe has not reached it
// either: what the pool believes of a member may be the fault of others. Who
// answers is looked at again soon.
func (r *Reconciler) failed(ctx context.Context, m Member) error {
	node, check, err := r.look(ctx, m.Name)
	if err != nil || node == nil || node.ID != m.ID || check != nil && check.Status == catalog.Critical {
		return err // not there at all, or another node by that name, or known
	}
	if r.Reachable != nil && r.Reachable(ctx, m) {
		r.Log.Warn("the pool reports a member failed, but it answers; leaving it alone", zap.String("member", m.Name))
		r.later(m.Name)
		return nil
	}
	r.Log.Info("member failed, marking health critical", zap.String("member", m.Name))
	return r.critical(ctx, &catalog.Node{ID: m.ID, Name: m.Name, Address: m.Address})
}

// critical marks a node that stands in the catalog.
func (r *Reconciler) critical(ctx context.Context, n *catalog.Node) error {
	_, err := rpc.Call(ctx, r.Caller, rpc.CatalogRegister, &rpc.RegisterRequest{
		Node: n, SkipNodeUpdate: true, Checks: []*catalog.Check{health(n.Name, catalog.Critical, failedOutput)},
	})
	return err
}

// gone takes a member out of raft and out of the catalog.
func (r *Reconciler) gone(ctx context.Context, m Member, why string) error {
	if m.ID == r.Self {
		return nil // a leader that leaves hands over first; the next one does this
	}
	if m.Server != nil && r.Cluster != nil {
		if err := r.Cluster.RemoveServer(ctx, m.ID); err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
	}
	node, check, err := r.look(ctx, m.Name)
	if err != nil || node == nil || node.ID != m.ID || check == nil {
		return err
	}
	r.Log.Info("deregistering member", zap.String("member", m.Name), zap.String("reason", why))
	_, err = rpc.Call(ctx, r.Caller, rpc.CatalogDeregister, &rpc.DeregisterRequest{Node: m.Name})
	return err
}

// local reads the leader's own state: there is none newer.
func local() rpc.ReadOptions { return rpc.ReadOptions{Consistency: rpc.Stale} }

// look returns a node of the catalog and the check of its life, nil where there is none.
func (r *Reconciler) look(ctx context.Context, name string) (*catalog.Node, *catalog.Check, error) {
	node, err := rpc.Call(ctx, r.Caller, rpc.CatalogNode, &rpc.NodeRequest{ReadOptions: local(), Node: name})
	if err != nil || node.Node == nil {
		return nil, nil, err
	}
	checks, err := rpc.Call(ctx, r.Caller, rpc.HealthNode, &rpc.NodeRequest{ReadOptions: local(), Node: name})
	if err != nil {
		return nil, nil, err
	}
	for _, c := range checks.Checks {
		if c.CheckID == catalog.SerfHealth {
			return node.Node, c, nil
		}
	}
	return node.Node, nil, nil
}

// stands reports whether the catalog holds the member as it is.
func (r *Reconciler) stands(ctx context.Context, m Member, service *catalog.Service, certain bool) (bool, error) {
	node, check, err := r.look(ctx, m.Name)
	if err != nil || node == nil || node.ID != m.ID || check == nil {
		return false, err
	}
	if check.Status != catalog.Passing {
		if !certain && r.Reachable != nil {
			err = errSilence
		}
		return false, err
	}
	if service == nil {
		return true, nil
	}
	out, err := rpc.Call(ctx, r.Caller, rpc.CatalogNode, &rpc.NodeRequest{ReadOptions: local(), Node: m.Name})
	if err != nil {
		return false, err
	}
	for _, s := range out.Services {
		if s.ID == service.ID {
			return s.SameContent(service), nil
		}
	}
	return false, nil
}

// serverService is the service under which a server can be found.
func serverService(m Member) *catalog.Service {
	// The protocols are the same for all servers: there is one version of each.
	meta := map[string]string{
		"raft_version": "3", "serf_protocol_current": "2", "serf_protocol_min": "1", "serf_protocol_max": "5",
		"non_voter": strconv.FormatBool(m.Server.NonVoter), "read_replica": strconv.FormatBool(m.Server.NonVoter),
		"version": cmp.Or(m.Server.Version, version.Version),
	}
	return &catalog.Service{
		ID: catalog.ServiceConsul, Name: catalog.ServiceConsul, Port: m.Server.Port,
		Tags: []string{}, Weights: catalog.DefaultWeights, Meta: meta,
	}
}
