package server_test

import (
	"errors"
	"testing"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/server/leader"
	"consul.internal/store"
	"github.com/hashicorp/raft"
	"go.uber.org/zap/zaptest"
)

// open gives the operations over a store in memory. bootstrap = false leaves it
// without a leader for ever.
func open(t *testing.T, bootstrap bool, hold time.Duration) (*server.Server, *store.Store) {
	t.Helper()
	return openDeps(t, bootstrap, hold, func(*server.Deps) {})
}

// openWith is open with more to work on than a store.
func openWith(t *testing.T, change func(*server.Deps)) *server.Server {
	t.Helper()
	s, _ := openDeps(t, true, 20*time.Second, change)
	return s
}

func openDeps(t *testing.T, bootstrap bool, hold time.Duration, change func(*server.Deps)) (*server.Server, *store.Store) {
	t.Helper()
	return openAs(t, bootstrap, hold, func(_ *server.Config, d *server.Deps) { change(d) })
}

// openAs is openDeps with another configuration.
func openAs(t *testing.T, bootstrap bool, hold time.Duration, change func(*server.Config, *server.Deps)) (*server.Server, *store.Store) {
	t.Helper()
	cfg := store.DefaultConfig()
	cfg.NodeID, cfg.Bootstrap = "aaaaaaaa-1111-1111-1111-111111111111", bootstrap
	addr, tr := raft.NewInmemTransport("127.0.0.1:8300")
	tr.Connect(addr, tr)
	log := zaptest.NewLogger(t)
	st, err := store.New(cfg, store.Deps{Logger: log, Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if bootstrap {
		if err := st.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	deps := server.Deps{Store: st, Log: log}
	as := server.Config{Datacenter: "dc1", RPCHoldTimeout: hold, DefaultQueryTime: time.Minute, MaxQueryTime: time.Minute}
	change(&as, &deps)
	return server.New(as, deps), st
}

func register(service string, port int) *rpc.RegisterRequest {
	return &rpc.RegisterRequest{
		Node:    &catalog.Node{Name: "n1", Address: "10.0.0.1", Meta: map[string]string{"os": "linux"}},
		Service: &catalog.Service{Name: service, Port: port, Tags: []string{"v1"}},
		Checks:  []*catalog.Check{{CheckID: service, ServiceID: service, Status: catalog.Warning}},
	}
}

func TestOperations(t *testing.T) {
	s, _ := open(t, true, 20*time.Second)
	ctx := t.Context()
	if _, err := rpc.Call(ctx, s, rpc.CatalogRegister, register("web", 80)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"another datacenter": {s.Call(ctx, rpc.CatalogNodes.Name, &rpc.NodesRequest{ReadOptions: rpc.ReadOptions{Target: rpc.Target{Datacenter: "zz"}}}, new(rpc.NodesReply)), fault.NoRoute},
		"unknown operation":  {s.Call(ctx, "No.Such", &rpc.Empty{}, &rpc.Empty{}), fault.NotFound},
		"wrong request":      {s.Call(ctx, rpc.CatalogNodes.Name, &rpc.Empty{}, new(rpc.NodesReply)), fault.Invalid},
		"wrong reply":        {s.Call(ctx, rpc.CatalogNodes.Name, &rpc.NodesRequest{}, &rpc.Empty{}), fault.Invalid},
		"bad filter":         {s.Call(ctx, rpc.CatalogNodes.Name, &rpc.NodesRequest{ReadOptions: rpc.ReadOptions{Filter: "zz"}}, new(rpc.NodesReply)), fault.Invalid},
		"port out of range":  {s.Call(ctx, rpc.CatalogRegister.Name, register("high", 70000), new(rpc.Empty)), fault.Invalid},
		"no node":            {s.Call(ctx, rpc.CatalogRegister.Name, &rpc.RegisterRequest{}, new(rpc.Empty)), fault.Invalid},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want the kind %q", name, tt.err, tt.want)
		}
	}
	health := func(change func(*rpc.ServiceRequest)) int {
		t.Helper()
		in := &rpc.ServiceRequest{Service: "WEB"}
		change(in)
		out, err := rpc.Call(ctx, s, rpc.HealthService, in)
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Instances)
	}
	for name, tt := range map[string]struct {
		change func(*rpc.ServiceRequest)
		want   int
	}{
		"all":          {func(*rpc.ServiceRequest) {}, 1},
		"passing":      {func(r *rpc.ServiceRequest) { r.Passing = true }, 0}, // it is in warning
		"tag":          {func(r *rpc.ServiceRequest) { r.Tags = []string{"V1"} }, 1},
		"two tags":     {func(r *rpc.ServiceRequest) { r.Tags = []string{"v1", "v2"} }, 0},
		"meta":         {func(r *rpc.ServiceRequest) { r.NodeMeta = map[string]string{"os": "linux"} }, 1},
		"other meta":   {func(r *rpc.ServiceRequest) { r.NodeMeta = map[string]string{"os": "bsd"} }, 0},
		"filter":       {func(r *rpc.ServiceRequest) { r.Filter = "Checks.Status == warning" }, 1},
		"filtered out": {func(r *rpc.ServiceRequest) { r.Filter = "Checks.Status == passing" }, 0},
		"stale":        {func(r *rpc.ServiceRequest) { r.Consistency = rpc.Stale }, 1},
		"ingress":      {func(r *rpc.ServiceRequest) { r.Ingress = true }, 0},
	} {
		if got := health(tt.change); got != tt.want {
			t.Errorf("%s: %d instances, want %d", name, got, tt.want)
		}
	}
}

// TestWithoutLeader: what needs a leader says so at once, since others may know
// better, and a stale read does not need one.
func TestWithoutLeader(t *testing.T) {
	s, _ := open(t, false, time.Hour)
	if _, err := rpc.Call(t.Context(), s, rpc.CatalogNodes, &rpc.NodesRequest{}); !errors.Is(err, fault.NoLeader) || err.Error() != "No cluster leader" {
		t.Errorf("read: %v", err)
	}
	if _, err := rpc.Call(t.Context(), s, rpc.CatalogRegister, register("web", 80)); !errors.Is(err, fault.NoLeader) {
		t.Errorf("write: %v", err)
	}
	out, err := rpc.Call(t.Context(), s, rpc.CatalogNodes, &rpc.NodesRequest{ReadOptions: rpc.ReadOptions{Consistency: rpc.Stale}})
	if err != nil || out.KnownLeader || out.Index != 1 {
		t.Errorf("stale read: %+v, %v", out, err)
	}
}

// TestReconcile: the leader's members stand in the catalog, once, and what an
// agent told of its node is left alone.
func TestReconcile(t *testing.T) {
	s, st := open(t, true, 20*time.Second)
	ctx := t.Context()
	if _, err := rpc.Call(ctx, s, rpc.CatalogRegister, &rpc.RegisterRequest{Node: &catalog.Node{
		ID: "aaaaaaaa-1111-1111-1111-111111111111", Name: "me", Address: "10.0.0.1", Meta: map[string]string{"k": "v"},
	}}); err != nil {
		t.Fatal(err)
	}
	r := &leader.Reconciler{Caller: s, Log: zaptest.NewLogger(t), Members: func() []leader.Member {
		return []leader.Member{{ID: "aaaaaaaa-1111-1111-1111-111111111111", Name: "me", Address: "10.0.0.1", Server: &leader.ServerInfo{Port: 8300}}}
	}}
	for round := range 2 {
		if err := r.Reconcile(ctx); err != nil {
			t.Fatal(err)
		}
		_, instances := st.State().ServiceInstances(nil, catalog.ServiceConsul, false)
		if len(instances) != 1 || instances[0].Status() != catalog.Passing || instances[0].Node.Meta["k"] != "v" || instances[0].Service.Port != 8300 {
			t.Fatalf("round %d: %+v", round, instances)
		}
		if round == 1 && st.Index() != instances[0].Service.ModifyIndex {
			t.Errorf("a second reconcile wrote: index %d, service at %d", st.Index(), instances[0].Service.ModifyIndex)
		}
	}
}
