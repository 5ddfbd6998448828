package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/query"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/view"
)

// elsewhere are the servers of other datacenters.
type elsewhere struct {
	answers map[string][]*catalog.Instance // by datacenter
	broken  map[string]bool
	frozen  map[string]bool // never answer
	asked   []string
	last    *rpc.QueryRemoteRequest
}

func (e *elsewhere) Call(ctx context.Context, method string, in, out any) error {
	req, ok := in.(*rpc.QueryRemoteRequest)
	if !ok || method != rpc.QueryExecuteRemote.Name {
		return fmt.Errorf("unexpected call of %s", method)
	}
	e.asked, e.last = append(e.asked, req.Datacenter), req
	switch {
	case e.frozen[req.Datacenter]:
		<-ctx.Done()
		return fault.With(fault.Unavailable, ctx.Err())
	case e.broken[req.Datacenter]:
		return fault.Newf(fault.Unavailable, "no server of %s answers", req.Datacenter)
	}
	out.(*rpc.QueryExecuteReply).Instances = e.answers[req.Datacenter]
	return nil
}

// memory is what a server remembers of other datacenters.
type memory struct {
	services map[string]*view.Service // by datacenter
	stale    bool
	err      error
}

func (m *memory) Service(_ context.Context, dc, _ string) (*view.Service, view.State, error) {
	return m.services[dc], view.State{Stale: m.stale}, m.err
}

func remoteInstance(node string, status catalog.Status) *catalog.Instance {
	return &catalog.Instance{
		Node: &catalog.Node{Name: node}, Service: &catalog.Service{ID: "web", Name: "web"},
		Checks: []*catalog.Check{{CheckID: "c", Status: status}},
	}
}

func create(t *testing.T, s *server.Server, q *query.Query) string {
	t.Helper()
	out, err := rpc.Call(t.Context(), s, rpc.QueryApply, &rpc.QueryApplyRequest{Query: q})
	if err != nil {
		t.Fatal(err)
	}
	return out.ID
}

func nodeNames(instances []*catalog.Instance) string {
	var names []string
	for _, i := range instances {
		names = append(names, i.Node.Name)
	}
	return strings.Join(names, " ")
}

func serve(t *testing.T, s *server.Server, node, addr string, status catalog.Status, tags ...string) {
	t.Helper()
	_, err := rpc.Call(t.Context(), s, rpc.CatalogRegister, &rpc.RegisterRequest{
		Node:    &catalog.Node{Name: node, Address: addr},
		Service: &catalog.Service{Name: "web", Port: 80, Tags: tags},
		Checks:  []*catalog.Check{{CheckID: "c", ServiceID: "web", Status: status}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestQueryLife(t *testing.T) {
	s, _ := open(t, true, 20*time.Second)
	ctx := t.Context()
	id := create(t, s, &query.Query{Name: "q", Service: query.Service{Service: "web"}, DNS: query.DNS{TTL: "7s"}})
	got, err := rpc.Call(ctx, s, rpc.QueryGet, &rpc.QueryGetRequest{ID: id})
	if err != nil || len(got.Queries) != 1 || got.Queries[0].ID != id || got.Queries[0].Name != "q" || got.Index == 0 {
		t.Fatalf("get: %+v, %v", got, err)
	}
	_, err = rpc.Call(ctx, s, rpc.QueryApply, &rpc.QueryApplyRequest{Op: rpc.QueryUpdate,
		Query: &query.Query{ID: id, Name: "renamed", Service: query.Service{Service: "db"}}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := rpc.Call(ctx, s, rpc.QueryList, &rpc.QueryListRequest{})
	if err != nil || len(list.Queries) != 1 || list.Queries[0].Name != "renamed" || list.Index <= got.Index {
		t.Errorf("list: %+v, %v", list, err)
	}
	for name, tt := range map[string]struct {
		in   *rpc.QueryApplyRequest
		want string
	}{
		"nothing":          {&rpc.QueryApplyRequest{}, "Must provide query"},
		"an ID of its own": {&rpc.QueryApplyRequest{Query: &query.Query{ID: "x", Service: query.Service{Service: "x"}}}, "ID must be empty when creating a new prepared query"},
		"no service":       {&rpc.QueryApplyRequest{Query: &query.Query{}}, "Must provide a Service name to query"},
		"template": {&rpc.QueryApplyRequest{Query: &query.Query{Template: query.Template{Type: "magic"}, Service: query.Service{Service: "x"}}},
			"raft apply failed: failed compiling template: Bad Template.Type 'magic'"},
		"name": {&rpc.QueryApplyRequest{Query: &query.Query{Name: "Renamed", Service: query.Service{Service: "x"}}},
			"raft apply failed: name 'Renamed' aliases an existing query name"},
		"update of nothing": {&rpc.QueryApplyRequest{Op: rpc.QueryUpdate, Query: &query.Query{ID: "x", Service: query.Service{Service: "x"}}},
			"Cannot modify non-existent prepared query: 'x'"},
		"delete of nothing": {&rpc.QueryApplyRequest{Op: rpc.QueryDelete, Query: &query.Query{ID: "x"}},
			"Cannot modify non-existent prepared query: 'x'"},
		"another datacenter": {&rpc.QueryApplyRequest{Target: rpc.Target{Datacenter: "zz"}}, "No path to datacenter"},
	} {
		if _, err := rpc.Call(ctx, s, rpc.QueryApply, tt.in); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := rpc.Call(ctx, s, rpc.QueryApply, &rpc.QueryApplyRequest{Op: rpc.QueryDelete, Query: &query.Query{ID: id}}); err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Call(ctx, s, rpc.QueryGet, &rpc.QueryGetRequest{ID: id}); !errors.Is(err, fault.NotFound) || err.Error() != "Query not found" {
		t.Errorf("get of what was deleted: %v", err)
	}
}

func TestQueryExecute(t *testing.T) {
	s, _ := open(t, true, 20*time.Second)
	ctx := t.Context()
	serve(t, s, "n1", "10.0.0.1", catalog.Passing, "a")
	serve(t, s, "n2", "10.0.0.2", catalog.Warning, "b")
	serve(t, s, "n3", "10.0.0.3", catalog.Critical)
	create(t, s, &query.Query{Name: "any", Service: query.Service{Service: "WEB"}, DNS: query.DNS{TTL: "7s"}})
	create(t, s, &query.Query{Name: "passing", Service: query.Service{Service: "web", OnlyPassing: true}})
	create(t, s, &query.Query{Name: "near", Service: query.Service{Service: "web", Near: "n2"}})
	create(t, s, &query.Query{Name: "near-ip", Service: query.Service{Service: "web", Near: query.NearIP}})
	create(t, s, &query.Query{Name: "near-agent", Service: query.Service{Service: "web", Near: query.NearAgent}})
	id := create(t, s, &query.Query{Name: "tag-", Template: query.Template{Type: query.PrefixMatch},
		Service: query.Service{Service: "web", Tags: []string{"${name.suffix}"}}})
	for name, tt := range map[string]struct {
		in     rpc.QueryExecuteRequest
		want   string // nodes; in order if sorted
		sorted bool
		err    string
	}{
		"by name":                  {in: rpc.QueryExecuteRequest{Query: "ANY"}, want: "n1 n2"},
		"only passing":             {in: rpc.QueryExecuteRequest{Query: "passing"}, want: "n1"},
		"connect":                  {in: rpc.QueryExecuteRequest{Query: "any", Connect: true}},
		"near a node":              {in: rpc.QueryExecuteRequest{Query: "near"}, want: "n2 n1", sorted: true},
		"near, as asked":           {in: rpc.QueryExecuteRequest{Query: "near", ReadOptions: rpc.ReadOptions{Near: "n1"}}, want: "n1 n2", sorted: true},
		"near, and the first only": {in: rpc.QueryExecuteRequest{Query: "near", Limit: 1}, want: "n2", sorted: true},
		"near nobody":              {in: rpc.QueryExecuteRequest{Query: "any", ReadOptions: rpc.ReadOptions{Near: "n9"}}, want: "n1 n2"},
		"near an address":          {in: rpc.QueryExecuteRequest{Query: "near-ip", Origin: rpc.QueryOrigin{IP: "10.0.0.2"}}, want: "n2 n1", sorted: true},
		"near a mapped address":    {in: rpc.QueryExecuteRequest{Query: "near-ip", Origin: rpc.QueryOrigin{IP: "::ffff:10.0.0.2"}}, want: "n2 n1", sorted: true},
		"near a strange address":   {in: rpc.QueryExecuteRequest{Query: "near-ip", Origin: rpc.QueryOrigin{IP: "10.9.9.9"}}, want: "n1 n2"},
		"near the agent":           {in: rpc.QueryExecuteRequest{Query: "near-agent", Origin: rpc.QueryOrigin{Node: "n2"}}, want: "n2 n1", sorted: true},
		"template":                 {in: rpc.QueryExecuteRequest{Query: "tag-b"}, want: "n2"},
		"template by ID":           {in: rpc.QueryExecuteRequest{Query: id}, err: "prepared query templates can only be resolved up by name, not by ID"},
		"unknown":                  {in: rpc.QueryExecuteRequest{Query: "nope"}, err: "Query not found"},
	} {
		out, err := rpc.Call(ctx, s, rpc.QueryExecute, &tt.in)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s: %v, want %q", name, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !tt.sorted {
			slices.SortFunc(out.Instances, func(a, b *catalog.Instance) int { return strings.Compare(a.Node.Name, b.Node.Name) })
		}
		if got := nodeNames(out.Instances); got != tt.want || out.Sorted != tt.sorted || out.Datacenter != "dc1" || out.Failovers != 0 || out.Index == 0 {
			t.Errorf("%s: %q %+v, want %q", name, got, out, tt.want)
		}
		if asksNear := strings.Contains(name, "near"); out.Varies != asksNear {
			t.Errorf("%s: varies %v", name, out.Varies)
		}
	}
	short, err := rpc.Call(ctx, s, rpc.QueryExecute, &rpc.QueryExecuteRequest{Query: "near", Brief: true})
	if err != nil || nodeNames(short.Instances) != "n2 n1" || short.Instances[0].Status() != catalog.Warning || short.Instances[1].Status() != catalog.Passing ||
		len(short.Instances[0].Checks) != 1 || short.Instances[0].Checks[0].CheckID != "" {
		t.Errorf("brief: %+v, %v", short, err)
	}
	explained, err := rpc.Call(ctx, s, rpc.QueryExplain, &rpc.QueryExecuteRequest{Query: "tag-b"})
	if err != nil || explained.Query.Service.Tags[0] != "b" || explained.Query.Name != "tag-" {
		t.Errorf("explain: %+v, %v", explained, err)
	}
}

// TestQueryShuffles: without a place to be near to, the load is spread.
func TestQueryShuffles(t *testing.T) {
	s, _ := open(t, true, 20*time.Second)
	serve(t, s, "n1", "10.0.0.1", catalog.Passing)
	serve(t, s, "n2", "10.0.0.2", catalog.Passing)
	create(t, s, &query.Query{Name: "q", Service: query.Service{Service: "web"}})
	seen := map[string]bool{}
	for range 100 {
		out, err := rpc.Call(t.Context(), s, rpc.QueryExecute, &rpc.QueryExecuteRequest{Query: "q", Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		seen[nodeNames(out.Instances)] = true
	}
	if len(seen) != 2 {
		t.Errorf("in 100 executions with a limit of 1 only %v", seen)
	}
}

// TestQueryFollowed: an execution can wait for another result, by a change of the
// instances and of the definition.
func TestQueryFollowed(t *testing.T) {
	s, _ := open(t, true, 20*time.Second)
	serve(t, s, "n1", "10.0.0.1", catalog.Passing)
	id := create(t, s, &query.Query{Name: "q", Service: query.Service{Service: "web"}})
	first, err := rpc.Call(t.Context(), s, rpc.QueryExecute, &rpc.QueryExecuteRequest{Query: "q"})
	if err != nil {
		t.Fatal(err)
	}
	index := first.Index
	wait := func(change func()) *rpc.QueryExecuteReply {
		t.Helper()
		type result struct {
			out *rpc.QueryExecuteReply
			err error
		}
		done := make(chan result, 1)
		go func() {
			out, err := rpc.Call(t.Context(), s, rpc.QueryExecute, &rpc.QueryExecuteRequest{Query: "q",
				ReadOptions: rpc.ReadOptions{MinIndex: index, MaxWait: time.Minute}})
			done <- result{out, err}
		}()
		change()
		r := <-done
		if r.err != nil || r.out.Index <= index || r.out.NotModified {
			t.Fatalf("%+v, %v", r.out, r.err)
		}
		index = r.out.Index
		return r.out
	}
	if out := wait(func() { serve(t, s, "n2", "10.0.0.2", catalog.Passing) }); len(out.Instances) != 2 {
		t.Errorf("after a registration: %s", nodeNames(out.Instances))
	}
	out := wait(func() {
		_, err := rpc.Call(t.Context(), s, rpc.QueryApply, &rpc.QueryApplyRequest{Op: rpc.QueryUpdate,
			Query: &query.Query{ID: id, Name: "q", Service: query.Service{Service: "other"}}})
		if err != nil {
			t.Error(err)
		}
	})
	if len(out.Instances) != 0 || out.Service != "other" {
		t.Errorf("after a change of the query: %+v", out)
	}
}

func TestExecuteRemote(t *testing.T) {
	s, _ := open(t, true, 20*time.Second)
	serve(t, s, "n1", "10.0.0.1", catalog.Passing)
	out, err := rpc.Call(t.Context(), s, rpc.QueryExecuteRemote, &rpc.QueryRemoteRequest{
		Query: &query.Query{Service: query.Service{Service: "web", Failover: query.Failover{NearestN: 3}}, DNS: query.DNS{TTL: "3s"}},
	})
	if err != nil || nodeNames(out.Instances) != "n1" || out.DNS.TTL != "3s" || out.Datacenter != "dc1" || out.Failovers != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := rpc.Call(t.Context(), s, rpc.QueryExecuteRemote, &rpc.QueryRemoteRequest{}); !errors.Is(err, fault.Invalid) {
		t.Errorf("without a query: %v", err)
	}
}
