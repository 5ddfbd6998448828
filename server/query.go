package server

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/query"
	"consul.internal/rpc"
	"consul.internal/server/vet"
	"consul.internal/store"
	"consul.internal/store/state"
	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/go-uuid"
)

func enterQueries(s *Server, q queryOps) {
	handle(s, rpc.QueryApply, q.apply)
	handle(s, rpc.QueryGet, q.get)
	handle(s, rpc.QueryList, q.list)
	handle(s, rpc.QueryExplain, q.explain)
	handle(s, rpc.QueryExecute, q.execute)
	handle(s, rpc.QueryExecuteRemote, q.executeRemote)
}

func queryNotFound() error { return fault.Newf(fault.NotFound, "Query not found") }

// apply creates, changes or deletes a query.
func (s queryOps) apply(ctx context.Context, in *rpc.QueryApplyRequest) (*rpc.QueryApplyReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	if in.Query == nil {
		return nil, required("query")
	}
	q := in.Query.Clone()
	if err := s.mayChange(ctx, in, q); err != nil {
		return nil, err
	}
	if in.Op == rpc.QueryDelete {
		return &rpc.QueryApplyReply{ID: q.ID}, s.write(ctx, func(ctx context.Context) (uint64, error) {
			return store.DeleteQuery(ctx, s.store, q.ID)
		})
	}
	if in.Op == rpc.QueryCreate {
		if q.ID != "" {
			return nil, fault.Newf(fault.Invalid, "ID must be empty when creating a new prepared query")
		}
		id, err := uuid.GenerateUUID()
		if err != nil {
			return nil, fault.With(fault.Unavailable, err)
		}
		q.ID = id
	}
	if err := q.Validate(); err != nil {
		return nil, err
	}
	if err := q.Compile(); err != nil {
		return nil, fault.Newf(fault.Invalid, "raft apply failed: failed compiling template: %w", err)
	}
	return &rpc.QueryApplyReply{ID: q.ID}, s.write(ctx, func(ctx context.Context) (uint64, error) {
		return store.PutQuery(ctx, s.store, q, in.Op == rpc.QueryUpdate)
	})
}

// mayChange refuses a change of a query that the token does not permit.
func (s queryOps) mayChange(ctx context.Context, in *rpc.QueryApplyRequest, next *query.Query) error {
	v, err := s.Changer(ctx, in.Target)
	if err != nil {
		return err
	}
	var old *query.Query
	if in.Op != rpc.QueryCreate {
		_, old = s.store.State().Queries().Get(nil, next.ID)
	}
	if in.Op == rpc.QueryDelete {
		next = nil
	}
	return v.ChangeQuery(old, next)
}

func (s queryOps) get(ctx context.Context, in *rpc.QueryGetRequest) (*rpc.QueriesReply, error) {
	out := new(rpc.QueriesReply)
	err := s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, q := s.store.State().Queries().Get(ws, in.ID)
		if q == nil {
			return 0, queryNotFound()
		}
		if err := v.Query(q, acl.Read); err != nil {
			return 0, err
		}
		out.Queries = []*query.Query{v.Shown(q)}
		return index, nil
	})
	return out, err
}

func (s queryOps) list(ctx context.Context, in *rpc.QueryListRequest) (*rpc.QueriesReply, error) {
	out := new(rpc.QueriesReply)
	err := s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (index uint64, err error) {
		index, all := s.store.State().Queries().List(ws)
		out.Queries = nil
		for _, q := range vet.Visible(v, all, v.Lists) {
			out.Queries = append(out.Queries, v.Shown(q))
		}
		return index, nil
	})
	return out, err
}

// resolve finds what is to be executed under an ID or a name.
func (s queryOps) resolve(ws memdb.WatchSet, in *rpc.QueryExecuteRequest) (uint64, *query.Query, error) {
	index, q, byID := s.store.State().Queries().Find(ws, in.Query)
	switch {
	case q == nil:
		return index, nil, queryNotFound()
	case !q.IsTemplate():
		return index, q, nil
	case byID:
		return index, nil, fault.Newf(fault.Invalid, "prepared query templates can only be resolved up by name, not by ID")
	}
	q, err := q.Render(query.Asked{Name: in.Query, Segment: in.Origin.Segment})
	return index, q, err
}

func (s queryOps) explain(ctx context.Context, in *rpc.QueryExecuteRequest) (*rpc.QueryExplainReply, error) {
	out := new(rpc.QueryExplainReply)
	err := s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (index uint64, err error) {
		index, q, err := s.resolve(ws, in)
		if err == nil {
			err = v.Query(q, acl.Read)
		}
		if err != nil {
			return 0, err
		}
		out.Query = v.Shown(q)
		return index, nil
	})
	return out, err
}

// execute gives the instances that a query wants: this datacenter's or, if it has
// none, those of the first other one that has.
func (s queryOps) execute(ctx context.Context, in *rpc.QueryExecuteRequest) (*rpc.QueryExecuteReply, error) {
	out := new(rpc.QueryExecuteReply)
	var q *query.Query
	as := in.Target
	err := s.watch(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		index, found, err := s.resolve(ws, in)
		if err != nil {
			return 0, err
		}
		q = found
		// It is executed in the name of its own token, if it has one, whoever asks.
		if as.Token = q.Token; as.Token == "" {
			as.Token = in.Token
		}
		v, err := s.Sight(ctx, as)
		if err != nil {
			return 0, err
		}
		near, varies := s.near(ws, q, in)
		out.Varies = varies
		index = max(index, s.look(ws, v, out, q, in.Connect, in.Limit, near))
		out.Filtered = v.Hidden && !v.Masked() && in.Token != ""
		return index, nil
	})
	if err != nil {
		return nil, err
	}
	own := *in
	own.Token = as.Token
	s.failOver(ctx, q, &own, out)
	if in.Brief {
		out.Instances = query.Brief(out.Instances)
	}
	return out, nil
}

// executeRemote executes a definition for a server of another datacenter.
func (s queryOps) executeRemote(ctx context.Context, in *rpc.QueryRemoteRequest) (*rpc.QueryExecuteReply, error) {
	if in.Query == nil {
		return nil, required("query")
	}
	out := new(rpc.QueryExecuteReply)
	err := s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		return s.look(ws, v, out, in.Query, in.Connect, in.Limit, ""), nil
	})
	return out, err
}

// look puts what this datacenter has, as far as v sees it, into a result.
func (s queryOps) look(ws memdb.WatchSet, v *vet.Sight, out *rpc.QueryExecuteReply, q *query.Query, connect bool, limit int, near string) uint64 {
	index, instances := s.store.State().ServiceInstances(ws, q.Service.Service, q.Service.Connect || connect)
	out.Service, out.DNS, out.Datacenter = q.Service.Service, q.DNS, s.cfg.Datacenter
	out.Instances = chosen(q, vet.Visible(v, instances, v.Instance))
	out.Instances, out.Sorted = s.closest(out.Instances, near)
	out.Instances = limited(out.Instances, limit)
	return index
}

// chosen keeps the instances that a query wants, in a random order.
func chosen(q *query.Query, instances []*catalog.Instance) []*catalog.Instance {
	kept := keep(instances, q.Service.Keeps)
	rand.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
	return kept
}

func limited(instances []*catalog.Instance, limit int) []*catalog.Instance {
	if limit > 0 && limit < len(instances) {
		return instances[:limit]
	}
	return instances
}

// near is the node that a result is sorted from, "" for none. varies says that the
// order hangs on something else than the definition and the instances.
func (s queryOps) near(ws memdb.WatchSet, q *query.Query, in *rpc.QueryExecuteRequest) (node string, varies bool) {
	node = q.Service.Near
	if in.Near != "" {
		node = in.Near
	}
	switch node {
	case "":
		return "", false
	case query.NearAgent:
		node = in.Origin.Node
	case query.NearIP:
		node = s.nodeAt(ws, in.Origin.IP)
	}
	return node, true
}

// nodeAt is the name of the first node that has an address, "" for none.
func (s queryOps) nodeAt(ws memdb.WatchSet, ip string) string {
	want, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	if n := state.NodeAt(s.store.State(), ws, want); n != nil {
		return n.Name
	}
	return ""
}

// closest sorts by distance from a node, its own instances first. sorted is false
// where nothing is known of the node: the order stays random.
func (s queryOps) closest(instances []*catalog.Instance, near string) (out []*catalog.Instance, sorted bool) {
	if near == "" || len(instances) == 0 {
		return instances, false
	}
	if s.store.State().Distances(near) != nil {
		return nearest(s.Server, &rpc.ReadOptions{Near: near}, instances, nodeOfInstance), true
	}
	own := func(i *catalog.Instance) bool { return catalog.EqualFold(i.Node.Name, near) }
	if !slices.ContainsFunc(instances, own) {
		return instances, false
	}
	return append(keep(instances, own), keep(instances, func(i *catalog.Instance) bool { return !own(i) })...), true
}
