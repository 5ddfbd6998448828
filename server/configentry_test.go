package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/configentry"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/store"
)

func entry(t *testing.T, text string) *configentry.Entry {
	t.Helper()
	e, err := configentry.DecodeJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func names(t *testing.T, s rpc.Caller, dc string) string {
	t.Helper()
	out, err := rpc.Call(t.Context(), s, rpc.ConfigList, &rpc.ConfigListRequest{ReadOptions: rpc.ReadOptions{Target: rpc.Target{Datacenter: dc}}})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range out.Entries {
		list = append(list, e.Kind+"/"+e.Name)
	}
	return strings.Join(list, " ")
}

func TestConfigEntries(t *testing.T) {
	s, _ := open(t, true, time.Second)
	put := func(text string, cas *uint64) (bool, error) {
		out, err := rpc.Call(t.Context(), s, rpc.ConfigApply, &rpc.ConfigApplyRequest{Put: entry(t, text), CAS: cas})
		if err != nil {
			return false, err
		}
		return out.Done, nil
	}
	if done, err := put(`{"Kind":"service-defaults","Name":"web","Protocol":"HTTP"}`, nil); !done || err != nil {
		t.Fatal(done, err)
	}
	wrong := uint64(1 << 40)
	if done, err := put(`{"Kind":"service-defaults","Name":"web","Protocol":"grpc"}`, &wrong); done || err != nil {
		t.Errorf("at a wrong index: %v, %v", done, err)
	}
	for text, want := range map[string]string{
		`{"Kind":"service-defaults"}`:                                      "Name is required",
		`{"Kind":"service-splitter","Name":"x","Splits":[{"Weight":100}]}`: "does not permit advanced routing",
	} {
		if _, err := put(text, nil); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	out, err := rpc.Call(t.Context(), s, rpc.ConfigGet, &rpc.ConfigGetRequest{Kind: "service-defaults", Name: "web"})
	if err != nil || out.Entries[0].Body.ServiceDefaults.Protocol != "http" || out.Index != out.Entries[0].ModifyIndex {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := rpc.Call(t.Context(), s, rpc.ConfigGet, &rpc.ConfigGetRequest{Kind: "service-defaults", Name: "db"}); !errors.Is(err, fault.NotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	for _, in := range []*rpc.ConfigApplyRequest{{Kind: "nonsense", Name: "x"}, {Kind: "mesh"}, {}} {
		if _, err := rpc.Call(t.Context(), s, rpc.ConfigApply, in); err == nil {
			t.Errorf("%+v is taken", in)
		}
	}
	if _, err := rpc.Call(t.Context(), s, rpc.ConfigApply, &rpc.ConfigApplyRequest{Kind: "service-defaults", Name: "web"}); err != nil {
		t.Fatal(err)
	}
	if left := names(t, s, ""); left != "" {
		t.Errorf("left: %s", left)
	}
}

// secondary opens a server whose primary datacenter is another server.
func secondary(t *testing.T, primary rpc.Caller) (*server.Server, *store.Store) {
	t.Helper()
	return openAs(t, true, time.Second, func(c *server.Config, d *server.Deps) {
		c.Datacenter, c.PrimaryDatacenter, d.Remote = "dc2", "dc1", primary
	})
}

// cut is a link that can be cut: answers do not arrive then.
type cut struct {
	rpc.Caller
	down atomic.Bool
}

func (c *cut) Call(ctx context.Context, method string, in, out any) error {
	err := c.Caller.Call(ctx, method, in, out)
	if c.down.Load() {
		return fault.Newf(fault.Unavailable, "the link is cut")
	}
	return err
}

func TestConfigReplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary, _ := open(t, true, time.Second)
		link := &cut{Caller: primary}
		copied, _ := secondary(t, link)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); copied.ReplicateConfig(ctx) }()

		apply := func(in *rpc.ConfigApplyRequest) error {
			_, err := rpc.Call(t.Context(), copied, rpc.ConfigApply, in)
			return err
		}
		// Asked for in the secondary, done in the primary, and copied back.
		for _, text := range []string{`{"Kind":"service-defaults","Name":"web","Protocol":"http"}`, `{"Kind":"service-router","Name":"web"}`, `{"Kind":"mesh"}`} {
			if err := apply(&rpc.ConfigApplyRequest{Put: entry(t, text)}); err != nil {
				t.Fatal(err)
			}
		}
		const all = "mesh/mesh service-defaults/web service-router/web"
		if got := names(t, primary, ""); got != all {
			t.Fatalf("the primary has %s", got)
		}
		time.Sleep(time.Second)
		if got := names(t, copied, ""); got != all {
			t.Fatalf("the secondary has %s", got)
		}
		// Cut off it keeps what it has.
		link.down.Store(true)
		// The write happens there, and its answer is lost.
		if err := apply(&rpc.ConfigApplyRequest{Kind: "mesh", Name: "mesh"}); !errors.Is(err, fault.Unavailable) {
			t.Errorf("a write while cut off: %v", err)
		}
		time.Sleep(5 * time.Minute)
		if c := copied.Copies(); len(c) != 1 || c[0].Current || c[0].Error == "" || c[0].Lag(time.Now()) < 4*time.Minute {
			t.Errorf("cut off it says %+v", c)
		}
		if got := names(t, copied, ""); got != all {
			t.Errorf("cut off it has %s", got)
		}
		link.down.Store(false)
		time.Sleep(time.Minute)
		if got := names(t, copied, ""); got != "service-defaults/web service-router/web" {
			t.Errorf("after the cut it has %s", got)
		}
		if c := copied.Copies(); len(c) != 1 || c[0].What != "config entries" || !c[0].Current || c[0].Error != "" || c[0].Index == 0 || c[0].Lag(time.Now()) > time.Second {
			t.Errorf("up to date it says %+v", c)
		}
		time.Sleep(time.Hour) // nothing is new
		if c := copied.Copies(); len(c) != 1 || !c[0].Current || c[0].Lag(time.Now()) > 10*time.Second {
			t.Errorf("an hour later it says %+v", c)
		}
		stop()
		<-ended
		if c := copied.Copies(); len(c) != 0 {
			t.Errorf("no longer leader it says %+v", c)
		}
		// Somebody who takes a secondary for the primary is told.
		if err := apply(&rpc.ConfigApplyRequest{Kind: "mesh", Name: "mesh", Forwarded: true}); !errors.Is(err, fault.Invalid) {
			t.Errorf("forwarded in a circle: %v", err)
		}
	})
}

func TestConfigBootstrap(t *testing.T) {
	first := entry(t, `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http"}}`)
	second := entry(t, `{"Kind":"service-defaults","Name":"web","Protocol":"grpc"}`)
	bad := entry(t, `{"Kind":"service-splitter","Name":"db","Splits":[{"Weight":100,"ServiceSubset":"none"}]}`)
	for _, e := range []*configentry.Entry{first, second, bad} {
		if err := e.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := openAs(t, true, time.Second, func(c *server.Config, _ *server.Deps) {
		c.ConfigEntries = []*configentry.Entry{first, bad, second}
	})
	if _, err := rpc.Call(t.Context(), s, rpc.ConfigApply, &rpc.ConfigApplyRequest{Put: entry(t, `{"Kind":"service-defaults","Name":"web","Protocol":"http"}`)}); err != nil {
		t.Fatal(err)
	}
	s.BootstrapConfig(t.Context())
	out, err := rpc.Call(t.Context(), s, rpc.ConfigList, &rpc.ConfigListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Collect(func(yield func(string) bool) {
		for _, e := range out.Entries {
			if !yield(e.Kind) {
				return
			}
		}
	})
	if !slices.Equal(got, []string{"proxy-defaults", "service-defaults"}) || out.Entries[1].Body.ServiceDefaults.Protocol != "http" {
		t.Errorf("written: %v, %+v", got, out.Entries)
	}
}

// Registered proxies are shown with the central settings to who asks for it, and
// such a question wakes when these change.
func TestCentral(t *testing.T) {
	s, _ := open(t, true, time.Second)
	call := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := rpc.Call(t.Context(), s, rpc.CatalogRegister, &rpc.RegisterRequest{
		Node: &catalog.Node{Name: "n1", Address: "10.0.0.1"},
		Service: &catalog.Service{ID: "p", Name: "web-proxy", Kind: "connect-proxy", Port: 1,
			Proxy: catalog.Proxy{DestinationServiceName: "web"}},
	})
	call(err)
	put := func(text string) {
		t.Helper()
		_, err := rpc.Call(t.Context(), s, rpc.ConfigApply, &rpc.ConfigApplyRequest{Put: entry(t, text)})
		call(err)
	}
	put(`{"Kind":"service-defaults","Name":"web","Protocol":"http"}`)
	read := func(central bool, index uint64) (out []string, at uint64) {
		t.Helper()
		opts := rpc.ReadOptions{MinIndex: index, MaxWait: time.Minute}
		show := func(svc *catalog.Service) { out = append(out, fmt.Sprint(svc.Proxy.Config["protocol"])) }
		health, err := rpc.Call(t.Context(), s, rpc.HealthService, &rpc.ServiceRequest{ReadOptions: opts, Service: "web-proxy", Central: central})
		call(err)
		show(health.Instances[0].Service)
		opts.MinIndex = 0
		nodes, err := rpc.Call(t.Context(), s, rpc.CatalogService, &rpc.ServiceRequest{ReadOptions: opts, Service: "web-proxy", Central: central})
		call(err)
		show(nodes.Instances[0].Service)
		node, err := rpc.Call(t.Context(), s, rpc.CatalogNode, &rpc.NodeRequest{ReadOptions: opts, Node: "n1", Central: central})
		call(err)
		show(node.Services[0])
		return out, health.Index
	}
	if got, _ := read(false, 0); !slices.Equal(got, []string{"<nil>", "<nil>", "<nil>"}) {
		t.Errorf("as registered: %v", got)
	}
	got, index := read(true, 0)
	if !slices.Equal(got, []string{"http", "http", "http"}) {
		t.Errorf("merged: %v", got)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if got, at := read(true, index); !slices.Equal(got, []string{"grpc", "grpc", "grpc"}) || at <= index {
			t.Errorf("after a change: %v at %d", got, at)
		}
	})
	put(`{"Kind":"service-defaults","Name":"web","Protocol":"grpc"}`)
	wg.Wait()
}
