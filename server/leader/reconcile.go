package leader

import (
	"context"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/version"
	"consul.internal/rpc"
	"go.uber.org/zap"
)

// interval between full reconciles, for whatever an event did not tell: as often
// as agents compare their own state.
const interval = time.Minute

// retryPause is how soon a failed reconcile is tried again.
const retryPause = time.Second

// Member is a member of the pool as the catalog needs it.
type Member struct {
	ID      string
	Name    string
	Address string
	// ServerPort is the port of a server's RPC, 0 for a client.
	ServerPort int
}

// Reconciler keeps the catalog in step with the pool.
type Reconciler struct {
	Caller rpc.Caller
	// Members lists who is alive.
	Members func() []Member
	Log     *zap.Logger
}

// Run reconciles at once and every minute until the leadership ends.
func (r *Reconciler) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := interval
		if err := r.Reconcile(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("failed to reconcile members with the catalog; trying again", zap.Error(err))
			pause = retryPause
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// Reconcile does it once.
func (r *Reconciler) Reconcile(ctx context.Context) error {
	for _, m := range r.Members() {
		if err := r.alive(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// alive puts a living member into the catalog, unless it stands there so.
func (r *Reconciler) alive(ctx context.Context, m Member) error {
	var service *catalog.Service
	if m.ServerPort > 0 {
		service = serverService(m)
	}
	same, err := r.stands(ctx, m, service)
	if err != nil || same {
		return err
	}
	r.Log.Info("member joined, marking health alive", zap.String("member", m.Name))
	_, err = rpc.Call(ctx, r.Caller, rpc.CatalogRegister, &rpc.RegisterRequest{
		Node: &catalog.Node{ID: m.ID, Name: m.Name, Address: m.Address},
		// The agent itself tells the rest of its node; do not take that away.
		SkipNodeUpdate: true,
		Service:        service,
		Checks: []*catalog.Check{{
			Node: m.Name, CheckID: catalog.SerfHealth, Name: "Serf Health Status",
			Status: catalog.Passing, Output: "Agent alive and reachable",
		}},
	})
	return err
}

// stands reports whether the catalog holds the member as it is.
func (r *Reconciler) stands(ctx context.Context, m Member, service *catalog.Service) (bool, error) {
	opts := rpc.ReadOptions{Consistency: rpc.Stale} // the leader's own state is the newest there is
	node, err := rpc.Call(ctx, r.Caller, rpc.CatalogNode, &rpc.NodeRequest{ReadOptions: opts, Node: m.Name})
	if err != nil || node.Node == nil || node.Node.ID != m.ID {
		return false, err
	}
	if service != nil {
		found := false
		for _, s := range node.Services {
			found = found || s.ID == service.ID && s.SameContent(service)
		}
		if !found {
			return false, nil
		}
	}
	checks, err := rpc.Call(ctx, r.Caller, rpc.HealthNode, &rpc.NodeRequest{ReadOptions: opts, Node: m.Name})
	if err != nil {
		return false, err
	}
	for _, c := range checks.Checks {
		if c.CheckID == catalog.SerfHealth {
			return c.Status == catalog.Passing, nil
		}
	}
	return false, nil
}

// serverService is the service under which a server can be found.
func serverService(m Member) *catalog.Service {
	return &catalog.Service{
		ID: catalog.ServiceConsul, Name: catalog.ServiceConsul, Port: m.ServerPort,
		Tags: []string{}, Weights: catalog.DefaultWeights,
		Meta: map[string]string{
			"raft_version": "3", "version": version.Version, "non_voter": "false", "read_replica": "false",
			"serf_protocol_current": "2", "serf_protocol_min": "1", "serf_protocol_max": "5",
		},
	}
}
