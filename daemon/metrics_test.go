package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"

	"consul.internal/catalog"
	"consul.internal/federation"
	"consul.internal/internal/fault"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
	"go.uber.org/zap"
)

// aServer performs operations by a function.
type aServer func(method string, out any) error

func (f aServer) Call(_ context.Context, method string, _, out any) error { return f(method, out) }
func (f aServer) Converse(context.Context, string, rpc.Conversation) error {
	return errors.ErrUnsupported
}
func (f aServer) LeaderID() string { return "" }

func TestPerforming(t *testing.T) {
	r := metrics.New(metrics.DefaultConfig())
	bad, elsewhere := errors.New("bad"), fault.Newf(fault.NotLeader, "another leads")
	next := aServer(func(method string, out any) error {
		switch out := out.(type) {
		case *rpc.InstancesReply:
			if method == rpc.CatalogService.Name {
				out.Instances = []*catalog.Instance{{Service: &catalog.Service{Name: "web"}}}
			}
		case *rpc.NodesReply:
			got := string(r.PrometheusText())
			if !strings.Contains(got, "consul_rpc_queries_blocking 1\n") {
				t.Errorf("while a query blocks: %s", got)
			}
			return bad
		case *rpc.KeyApplyReply:
			return elsewhere
		}
		return nil
	})
	p := newPerforming(next, r, func() bool { return true })
	call := func(method string, in, out any) {
		t.Helper()
		if err := p.Call(t.Context(), method, in, out); err != nil && !errors.Is(err, bad) && !errors.Is(err, elsewhere) {
			t.Error(err)
		}
	}
	call(rpc.CatalogRegister.Name, &rpc.RegisterRequest{}, &rpc.Empty{})
	call(rpc.CatalogDeregister.Name, &rpc.DeregisterRequest{}, &rpc.Empty{})
	call(rpc.CatalogService.Name, &rpc.ServiceRequest{Service: "WEB"}, &rpc.InstancesReply{})
	call(rpc.HealthService.Name, &rpc.ServiceRequest{Service: "invented by somebody"}, &rpc.InstancesReply{})
	call(rpc.HealthService.Name, &rpc.ServiceRequest{Service: "web", Passing: true}, &rpc.InstancesReply{})
	call(rpc.CatalogNodes.Name, &rpc.NodesRequest{ReadOptions: rpc.ReadOptions{MinIndex: 7}}, &rpc.NodesReply{})
	call(rpc.KeyApply.Name, &rpc.KeyApplyRequest{}, &rpc.KeyApplyReply{}) // another server performs it
	call(rpc.SessionRenew.Name, &rpc.SessionRequest{}, &rpc.SessionsReply{})
	got := string(r.PrometheusText())
	for _, want := range []string{
		"consul_catalog_register_count 1", "consul_catalog_deregister_count 1", `consul_catalog_service_query{service="web"} 1`,
		"consul_health_service_not_found 1", "consul_rpc_request 7", "consul_rpc_query 4", "consul_rpc_request_error 1", "consul_session_renew_count 1",
		`consul_rpc_server_call_count{method="Catalog.Register",request_type="write",rpc_type="internal",errored="false",leader="true"} 1`,
		`consul_rpc_server_call_count{method="Catalog.Nodes",request_type="read",rpc_type="internal",errored="true",leader="true"} 1`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "invented") {
		t.Errorf("a client chose a label:\n%s", got)
	}
	if strings.Contains(got, "kvs_apply") {
		t.Errorf("what another server performs is counted:\n%s", got)
	}
	for method, name := range timed() {
		if _, known := rpc.All()[method]; !known {
			t.Errorf("there is no operation %s", method)
		}
		if d, known := metrics.Defined(name); !known || d.Kind != "timer" {
			t.Errorf("%s is no timer: %+v", name, d)
		}
	}
}

func TestAsking(t *testing.T) {
	r := metrics.New(metrics.DefaultConfig())
	nobody, err := federation.New(federation.Config{Datacenter: "dc1"}, federation.Deps{Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	c := newAsking(nobody, r, false, "dc1")
	if err := c.Call(t.Context(), rpc.CatalogNodes.Name, &rpc.NodesRequest{}, &rpc.NodesReply{}); err == nil {
		t.Error("no servers, no error")
	}
	far := func(dc string) *rpc.NodesRequest {
		return &rpc.NodesRequest{ReadOptions: rpc.ReadOptions{Target: rpc.Target{Datacenter: dc}}}
	}
	var answer error
	answers := newAsking(aServer(func(string, any) error { return answer }), r, true, "dc1")
	for _, dc := range []string{"dc1", "dc2", ""} {
		if err := answers.Call(t.Context(), rpc.CatalogNodes.Name, far(dc), &rpc.NodesReply{}); err != nil {
			t.Error(err)
		}
	}
	answer = fault.Newf(fault.NoRoute, "No path to datacenter")
	if err := answers.Call(t.Context(), rpc.CatalogNodes.Name, far("invented"), &rpc.NodesReply{}); !errors.Is(err, fault.NoRoute) {
		t.Errorf("a datacenter that does not exist: %v", err)
	}
	got := string(r.PrometheusText())
	for _, want := range []string{"consul_client_rpc 1\n", "consul_client_rpc_failed 1\n", "consul_rpc_cross_dc{datacenter=\"dc2\"} 1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Count(got, "\nconsul_rpc_cross_dc{") != 1 {
		t.Errorf("a client chose a label:\n%s", got)
	}
}

func TestWaits(t *testing.T) {
	o := rpc.ReadOptions{MinIndex: 1}
	for _, in := range []any{
		&rpc.ServiceRequest{ReadOptions: o}, &rpc.NodesRequest{ReadOptions: o}, &rpc.ServicesRequest{ReadOptions: o},
		&rpc.NodeRequest{ReadOptions: o}, &rpc.ChecksRequest{ReadOptions: o}, &rpc.StateRequest{ReadOptions: o},
	} {
		if !waits(in) {
			t.Errorf("%T", in)
		}
	}
	if waits(&rpc.RegisterRequest{}) || waits(&rpc.NodesRequest{}) {
		t.Error("what does not block counts as blocking")
	}
}
