package server

import (
	"context"
	"maps"
	"slices"

	"consul.internal/catalog"
	"consul.internal/internal/filter"
	"consul.internal/rpc"
	"consul.internal/store/state"
	"github.com/hashicorp/go-memdb"
)

func (s catalogOps) register(ctx context.Context, in *rpc.RegisterRequest) (*rpc.Empty, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	reg := &state.Registration{SkipNodeUpdate: in.SkipNodeUpdate, Service: in.Service, Checks: in.Checks}
	if in.Node != nil {
		node := *in.Node
		node.Datacenter = s.cfg.Datacenter
		reg.Node = &node
	}
	if err := reg.Validate(); err != nil {
		return nil, err
	}
	return new(rpc.Empty), s.write(ctx, func(ctx context.Context) (uint64, error) { return s.store.Register(ctx, reg) })
}

func (s catalogOps) deregister(ctx context.Context, in *rpc.DeregisterRequest) (*rpc.Empty, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	dereg := &state.Deregistration{Node: in.Node, ServiceID: in.ServiceID, CheckID: in.CheckID}
	if err := dereg.Validate(); err != nil {
		return nil, err
	}
	return new(rpc.Empty), s.write(ctx, func(ctx context.Context) (uint64, error) { return s.store.Deregister(ctx, dereg) })
}

func (s catalogOps) datacenters(context.Context, *rpc.DatacentersRequest) (*rpc.DatacentersReply, error) {
	return &rpc.DatacentersReply{Datacenters: s.deps.Abroad.Datacenters()}, nil
}

func (s catalogOps) nodes(ctx context.Context, in *rpc.NodesRequest) (*rpc.NodesReply, error) {
	f, err := filter.New[*catalog.Node](in.Filter)
	if err != nil {
		return nil, err
	}
	out := new(rpc.NodesReply)
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		index, nodes := s.store.State().Nodes(ws)
		if len(in.NodeMeta) > 0 {
			nodes = keep(nodes, func(n *catalog.Node) bool { return hasMeta(n.Meta, in.NodeMeta) })
		}
		nodes, err = filter.Slice(f, nodes)
		out.Nodes = nearest(s.Server, &in.ReadOptions, nodes, nodeName)
		return index, err
	})
	return out, err
}

func (s catalogOps) services(ctx context.Context, in *rpc.ServicesRequest) (*rpc.ServicesReply, error) {
	f, err := filter.New[*catalog.ServiceNode](in.Filter)
	if err != nil {
		return nil, err
	}
	out := new(rpc.ServicesReply)
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (index uint64, err error) {
		if in.Filter == "" && len(in.NodeMeta) == 0 {
			index, out.Services = s.store.State().Services(ws)
			return index, nil
		}
		index, instances := s.store.State().Instances(ws)
		if instances, err = selectInstances(instances, &in.ReadOptions, nil, f); err != nil {
			return 0, err
		}
		out.Services = namesAndTags(instances)
		return index, nil
	})
	return out, err
}

func namesAndTags(instances []*catalog.Instance) map[string][]string {
	sets := map[string]map[string]struct{}{}
	for _, i := range instances {
		set := sets[i.Service.Name]
		if set == nil {
			set = map[string]struct{}{}
			sets[i.Service.Name] = set
		}
		for _, tag := range i.Service.Tags {
			set[tag] = struct{}{}
		}
	}
	out := make(map[string][]string, len(sets))
	for name, set := range sets {
		out[name] = slices.AppendSeq(make([]string, 0, len(set)), maps.Keys(set))
		slices.Sort(out[name])
	}
	return out
}

func (s catalogOps) service(ctx context.Context, in *rpc.ServiceRequest) (*rpc.InstancesReply, error) {
	if in.Service == "" {
		return nil, required("service name")
	}
	f, err := filter.New[*catalog.ServiceNode](in.Filter)
	if err != nil {
		return nil, err
	}
	out := new(rpc.InstancesReply)
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		index, instances := s.store.State().CatalogService(ws, in.Service, in.Connect)
		instances, err = selectInstances(instances, &in.ReadOptions, in.Tags, f)
		out.Instances = nearest(s.Server, &in.ReadOptions, instances, nodeOfInstance)
		return index, err
	})
	return out, err
}

// selectInstances keeps what a read of the catalog asked for.
func selectInstances(instances []*catalog.Instance, opts *rpc.ReadOptions, tags []string, f *filter.Filter[*catalog.ServiceNode]) ([]*catalog.Instance, error) {
	var kept []*catalog.Instance
	for _, i := range instances {
		if !hasMeta(i.Node.Meta, opts.NodeMeta) || !hasTags(i, tags) {
			continue
		}
		if f != nil {
			ok, err := f.Match(i.Flat())
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
		}
		kept = append(kept, i)
	}
	return kept, nil
}

func hasTags(i *catalog.Instance, tags []string) bool {
	return !slices.ContainsFunc(tags, func(tag string) bool { return !i.HasTag(tag) })
}

func (s catalogOps) node(ctx context.Context, in *rpc.NodeRequest) (*rpc.NodeReply, error) {
	if in.Node == "" {
		return nil, required("node")
	}
	f, err := filter.New[*catalog.Service](in.Filter)
	if err != nil {
		return nil, err
	}
	out := new(rpc.NodeReply)
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		index, node, services := s.store.State().NodeServices(ws, in.Node)
		out.Node = node
		out.Services, err = filter.Slice(f, services)
		return index, err
	})
	return out, err
}

// keep returns the items that pass, in a new slice: the given one is shared.
func keep[T any](items []T, pass func(T) bool) []T {
	var kept []T
	for _, v := range items {
		if pass(v) {
			kept = append(kept, v)
		}
	}
	return kept
}
