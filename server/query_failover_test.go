package server_test

import (
	"context"
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

// abroad are datacenters, the own one first, then the nearest.
type abroad struct {
	server.Abroad
	datacenters []string
}

func (a abroad) Datacenters() []string { return a.datacenters }

func TestFailover(t *testing.T) {
	passing := []*catalog.Instance{remoteInstance("far", catalog.Passing)}
	for name, tt := range map[string]struct {
		service query.Service
		in      rpc.QueryExecuteRequest
		there   elsewhere
		memory  *memory

		want      string // datacenter and nodes
		failovers int
		asked     string // datacenters that were called
		stale     bool
	}{
		"no failover":    {want: "dc1:"},
		"local first":    {service: query.Service{Service: "web", Failover: query.Failover{NearestN: 1}}, want: "dc1:n1"},
		"the nearest":    {service: query.Service{Failover: query.Failover{NearestN: 1}}, there: elsewhere{answers: map[string][]*catalog.Instance{"dc2": passing}}, want: "dc2:far", failovers: 1, asked: "dc2"},
		"a list":         {service: query.Service{Failover: query.Failover{Datacenters: []string{"dc3", "dc2"}}}, there: elsewhere{answers: map[string][]*catalog.Instance{"dc2": passing}}, want: "dc2:far", failovers: 2, asked: "dc3 dc2"},
		"unknown ones":   {service: query.Service{Failover: query.Failover{Datacenters: []string{"dc9", "dc2"}}}, there: elsewhere{answers: map[string][]*catalog.Instance{"dc2": passing}}, want: "dc2:far", failovers: 1, asked: "dc2"},
		"nobody has any": {service: query.Service{Failover: query.Failover{NearestN: 5}}, want: "dc3:", failovers: 2, asked: "dc2 dc3"},
		"one is broken": {service: query.Service{Failover: query.Failover{NearestN: 5}}, there: elsewhere{broken: map[string]bool{"dc2": true}, answers: map[string][]*catalog.Instance{"dc3": passing}},
			want: "dc3:far", failovers: 2, asked: "dc2 dc3"},
		"all are broken": {service: query.Service{Failover: query.Failover{NearestN: 5}}, there: elsewhere{broken: map[string]bool{"dc2": true, "dc3": true}},
			want: "dc1:", failovers: 2, asked: "dc2 dc3"},
		"broken, but remembered": {service: query.Service{Failover: query.Failover{NearestN: 1}}, there: elsewhere{broken: map[string]bool{"dc2": true}},
			memory: &memory{services: map[string]*view.Service{"dc2": {Instances: passing}}, stale: true}, want: "dc2:far", failovers: 1, asked: "dc2", stale: true},
		"brief: out of memory": {service: query.Service{Failover: query.Failover{NearestN: 1}}, in: rpc.QueryExecuteRequest{Brief: true},
			memory: &memory{services: map[string]*view.Service{"dc2": {Instances: passing}}}, want: "dc2:far", failovers: 1},
		"brief: the query's own wishes": {service: query.Service{OnlyPassing: true, Failover: query.Failover{NearestN: 1}}, in: rpc.QueryExecuteRequest{Brief: true},
			memory: &memory{services: map[string]*view.Service{"dc2": {Instances: []*catalog.Instance{remoteInstance("x", catalog.Warning), passing[0]}}}}, want: "dc2:far", failovers: 1},
		"brief: not there": {service: query.Service{Failover: query.Failover{NearestN: 1}}, in: rpc.QueryExecuteRequest{Brief: true}, memory: &memory{}, want: "dc2:", failovers: 1},
		"brief: cut off": {service: query.Service{Failover: query.Failover{NearestN: 2}}, in: rpc.QueryExecuteRequest{Brief: true},
			memory: &memory{err: fault.Newf(fault.Unavailable, "cut off")}, want: "dc1:", failovers: 2},
		"brief: memory does not know the datacenter": {service: query.Service{Failover: query.Failover{NearestN: 1}}, in: rpc.QueryExecuteRequest{Brief: true},
			memory: &memory{err: fault.Newf(fault.NotFound, "no such datacenter")}, there: elsewhere{answers: map[string][]*catalog.Instance{"dc2": passing}}, want: "dc2:far", failovers: 1, asked: "dc2"},
		"mesh instances are not in memory": {service: query.Service{Connect: true, Failover: query.Failover{NearestN: 1}}, in: rpc.QueryExecuteRequest{Brief: true},
			memory: &memory{services: map[string]*view.Service{"dc2": {Instances: passing}}}, want: "dc2:", failovers: 1, asked: "dc2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openWith(t, func(d *server.Deps) {
				d.Remote, d.Abroad = &tt.there, abroad{datacenters: []string{"dc1", "dc2", "dc3"}}
				if tt.memory != nil {
					d.Names = tt.memory
				}
			})
			serve(t, s, "n1", "10.0.0.1", catalog.Passing)
			if tt.service.Service == "" {
				tt.service.Service = "remote"
			}
			create(t, s, &query.Query{Name: "q", Service: tt.service, DNS: query.DNS{TTL: "9s"}})
			tt.in.Query, tt.in.Token = "q", "secret"
			out, err := rpc.Call(t.Context(), s, rpc.QueryExecute, &tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := out.Datacenter + ":" + nodeNames(out.Instances); got != tt.want || out.Failovers != tt.failovers || out.Stale != tt.stale ||
				out.DNS.TTL != "9s" || out.Service != tt.service.Service {
				t.Errorf("%q with %+v, want %q after %d", got, out, tt.want, tt.failovers)
			}
			if asked := strings.Join(tt.there.asked, " "); asked != tt.asked {
				t.Errorf("called %q, want %q", asked, tt.asked)
			}
			if last := tt.there.last; last != nil && (last.Token != "secret" || last.Query.Name != "q") {
				t.Errorf("the call was %+v", last)
			}
		})
	}
}

// TestFailoverFrozen: a datacenter that does not answer costs its share of the time,
// and leaves the others theirs.
func TestFailoverFrozen(t *testing.T) {
	there := &elsewhere{frozen: map[string]bool{"dc2": true}, answers: map[string][]*catalog.Instance{"dc3": {remoteInstance("far", catalog.Passing)}}}
	s := openWith(t, func(d *server.Deps) { d.Remote, d.Abroad = there, abroad{datacenters: []string{"dc1", "dc2", "dc3"}} })
	create(t, s, &query.Query{Name: "q", Service: query.Service{Service: "remote", Failover: query.Failover{NearestN: 2}}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	out, err := rpc.Call(ctx, s, rpc.QueryExecute, &rpc.QueryExecuteRequest{Query: "q"})
	if err != nil || out.Datacenter != "dc3" || nodeNames(out.Instances) != "far" || ctx.Err() != nil {
		t.Errorf("%+v, %v, %v", out, err, ctx.Err())
	}
	if !slices.Equal(there.asked, []string{"dc2", "dc3"}) {
		t.Errorf("asked %v", there.asked)
	}
}
