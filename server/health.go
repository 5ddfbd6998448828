package server

import (
	"context"

	"consul.internal/catalog"
	"consul.internal/internal/filter"
	"consul.internal/rpc"
	"consul.internal/server/vet"
	"github.com/hashicorp/go-memdb"
)

func (s healthOps) service(ctx context.Context, in *rpc.ServiceRequest) (*rpc.InstancesReply, error) {
	if in.Service == "" {
		return nil, required("service name")
	}
	f, err := filter.New[*catalog.Instance](in.Filter)
	if err != nil {
		return nil, err
	}
	out := new(rpc.InstancesReply)
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, instances := s.store.State().ServiceInstances(ws, in.Service, in.Connect)
		if in.Ingress {
			instances = nil // nothing is bound to a gateway without the mesh
		}
		if in.Central {
			c := central{s: s.Server, ws: ws, index: index}
			instances = c.instances(instances)
			index = c.index
		}
		instances, err = choose(in, f, vet.Visible(v, instances, v.Instance))
		out.Instances = nearest(s.Server, &in.ReadOptions, instances, nodeOfInstance)
		return index, err
	})
	return out, err
}

// Choose keeps the instances that a read of health asks for. What it is given
// stays as it is.
func Choose(in *rpc.ServiceRequest, instances []*catalog.Instance) ([]*catalog.Instance, error) {
	f, err := filter.New[*catalog.Instance](in.Filter)
	if err != nil {
		return nil, err
	}
	return choose(in, f, instances)
}

func choose(in *rpc.ServiceRequest, f *filter.Filter[*catalog.Instance], instances []*catalog.Instance) ([]*catalog.Instance, error) {
	instances = keep(instances, func(i *catalog.Instance) bool {
		return hasMeta(i.Node.Meta, in.NodeMeta) && hasTags(i, in.Tags) && (!in.Passing || i.Status() == catalog.Passing)
	})
	return filter.Slice(f, instances)
}

func (s healthOps) node(ctx context.Context, in *rpc.NodeRequest) (*rpc.ChecksReply, error) {
	if in.Node == "" {
		return nil, required("node")
	}
	return s.list(ctx, &in.ReadOptions, func(ws memdb.WatchSet) (uint64, []*catalog.Check) {
		return s.store.State().NodeChecks(ws, in.Node)
	})
}

func (s healthOps) checks(ctx context.Context, in *rpc.ChecksRequest) (*rpc.ChecksReply, error) {
	if in.Service == "" {
		return nil, required("service name")
	}
	return s.list(ctx, &in.ReadOptions, func(ws memdb.WatchSet) (uint64, []*catalog.Check) {
		return s.store.State().ServiceChecks(ws, in.Service)
	})
}

func (s healthOps) state(ctx context.Context, in *rpc.StateRequest) (*rpc.ChecksReply, error) {
	return s.list(ctx, &in.ReadOptions, func(ws memdb.WatchSet) (uint64, []*catalog.Check) {
		return s.store.State().ChecksInState(ws, in.State)
	})
}

// list performs a read whose result is a list of checks.
func (s healthOps) list(ctx context.Context, opts *rpc.ReadOptions, run func(memdb.WatchSet) (uint64, []*catalog.Check)) (*rpc.ChecksReply, error) {
	f, err := filter.New[*catalog.Check](opts.Filter)
	if err != nil {
		return nil, err
	}
	out := new(rpc.ChecksReply)
	err = s.read(ctx, opts, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, checks := run(ws)
		checks = vet.Visible(v, checks, v.Check)
		if len(opts.NodeMeta) > 0 {
			nodesIndex, _ := s.store.State().Nodes(ws) // a node's metadata decides too
			index = max(index, nodesIndex)
			checks = keep(checks, func(c *catalog.Check) bool {
				n, ok := s.store.State().Node(c.Node)
				return ok && hasMeta(n.Meta, opts.NodeMeta)
			})
		}
		checks, err = filter.Slice(f, checks)
		out.Checks = nearest(s.Server, opts, checks, nodeOfCheck)
		return index, err
	})
	return out, err
}
