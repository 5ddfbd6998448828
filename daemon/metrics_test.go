package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"

	"consul.internal/catalog"
	"consul.internal/federation"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
	"go.uber.org/zap"
)

type callerFunc func(method string, out any) error

func (f callerFunc) Call(_ context.Context, method string, _, out any) error { return f(method, out) }

func TestCounting(t *testing.T) {
	r := metrics.New(metrics.DefaultConfig())
	bad := errors.New("bad")
	next := callerFunc(func(method string, out any) error {
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
		}
		return nil
	})
	c := newCounting(next, r, true)
	call := func(method string, in, out any) {
		t.Helper()
		if err := c.Call(t.Context(), method, in, out); err != nil && !errors.Is(err, bad) {
			t.Error(err)
		}
	}
	call(rpc.CatalogRegister.Name, &rpc.RegisterRequest{}, &rpc.Empty{})
	call(rpc.CatalogDeregister.Name, &rpc.DeregisterRequest{}, &rpc.Empty{})
	call(rpc.CatalogService.Name, &rpc.ServiceRequest{Service: "WEB"}, &rpc.InstancesReply{})
	call(rpc.HealthService.Name, &rpc.ServiceRequest{Service: "invented by somebody"}, &rpc.InstancesReply{})
	call(rpc.HealthService.Name, &rpc.ServiceRequest{Service: "web", Passing: true}, &rpc.InstancesReply{})
	call(rpc.CatalogNodes.Name, &rpc.NodesRequest{ReadOptions: rpc.ReadOptions{MinIndex: 7}}, &rpc.NodesReply{})
	got := string(r.PrometheusText())
	for _, want := range []string{
		"consul_catalog_register_count 1", "consul_catalog_deregister_count 1", `consul_catalog_service_query{service="web"} 1`,
		"consul_health_service_not_found 1", "consul_rpc_request 6", "consul_rpc_query 3", "consul_rpc_request_error 1",
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "invented") {
		t.Errorf("a client chose a label:\n%s", got)
	}

	r = metrics.New(metrics.DefaultConfig())
	nobody, err := federation.New(federation.Config{Datacenter: "dc1"}, federation.Deps{Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	c = newCounting(nobody, r, false)
	if err := c.Call(t.Context(), rpc.CatalogNodes.Name, &rpc.NodesRequest{}, &rpc.NodesReply{}); err == nil {
		t.Error("no servers, no error")
	}
	if got := string(r.PrometheusText()); !strings.Contains(got, "consul_client_rpc 1\n") || !strings.Contains(got, "consul_client_rpc_failed 1\n") {
		t.Errorf("of a client:\n%s", got)
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
