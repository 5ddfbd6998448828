package server

import (
	"context"
	"slices"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/internal/filter"
	"consul.internal/rpc"
	"consul.internal/server/vet"
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
	v, err := s.Changer(ctx, in.Target)
	if err == nil {
		err = v.Register(reg)
	}
	if err != nil {
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
	v, err := s.Changer(ctx, in.Target)
	if err == nil {
		err = v.Remove(dereg)
	}
	if err != nil {
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
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, nodes := s.store.State().Nodes(ws)
		nodes = vet.Visible(v, nodes, v.Node) // first: a filter must not tell of what is hidden
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
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (index uint64, err error) {
		if in.Filter == "" && len(in.NodeMeta) == 0 {
			index, out.Services = s.store.State().Services(ws)
			out.Services = vet.Services(v, out.Services)
			return index, nil
		}
		index, instances := s.store.State().Inventory(ws).Instances()
		instances = unplaced(v, vet.Visible(v, instances, func(i *catalog.Instance) bool { return v.Sees(acl.Service, i.Service.Name) }))
		if instances, err = selectInstances(instances, &in.ReadOptions, nil, f); err != nil {
			return 0, err
		}
		out.Services = catalog.TagsByService(instances)
		return index, nil
	})
	return out, err
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
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, instances := s.store.State().CatalogService(ws, in.Service, in.Connect)
		if in.Central {
			c := central{s: s.Server, ws: ws, index: index}
			instances = c.instances(instances)
			index = c.index
		}
		instances, err = selectInstances(vet.Visible(v, instances, v.Instance), &in.ReadOptions, in.Tags, f)
		out.Instances = nearest(s.Server, &in.ReadOptions, instances, nodeOfInstance)
		return index, err
	})
	return out, err
}

// unplaced takes the nodes that may not be seen from instances, of which only the
// services are asked for: a filter must not tell where they are.
func unplaced(v *vet.Sight, instances []*catalog.Instance) []*catalog.Instance {
	if v.Under(acl.Node, "", acl.Read) {
		return instances
	}
	out := slices.Clone(instances)
	for k, i := range out {
		if !v.Node(i.Node) {
			out[k] = &catalog.Instance{Node: new(catalog.Node), Service: i.Service}
		}
	}
	return out
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
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, node, services := s.store.State().NodeServices(ws, in.Node)
		out.Node, out.Services = nil, nil
		if node != nil && !v.Node(node) {
			v.Hidden = true
			return index, nil
		}
		out.Node = node
		if in.Central {
			c := central{s: s.Server, ws: ws, index: index}
			services = c.services(services)
			index = c.index
		}
		services = vet.Visible(v, services, func(svc *catalog.Service) bool { return v.Sees(acl.Service, svc.Name) })
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
