package server

import (
	"context"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/internal/filter"
	"consul.internal/rpc"
	"consul.internal/server/vet"
	"github.com/hashicorp/go-memdb"
)

func (s catalogOps) inventory(ctx context.Context, in *rpc.NodeRequest) (*rpc.InventoryReply, error) {
	f, err := filter.New[*catalog.Inventory](in.Filter)
	if err != nil {
		return nil, err
	}
	out := new(rpc.InventoryReply)
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, all := s.store.State().Inventory(ws).Nodes(in.Node)
		all = vet.Visible(v, all, func(i *catalog.Inventory) bool { return v.Node(i.Node) })
		for _, i := range all { // they were made for this read
			i.Services = vet.Visible(v, i.Services, func(svc *catalog.Service) bool { return v.Sees(acl.Service, svc.Name) })
			i.Checks = vet.Visible(v, i.Checks, v.Check)
		}
		out.Nodes, err = filter.Slice(f, keep(all, func(i *catalog.Inventory) bool { return hasMeta(i.Meta, in.NodeMeta) }))
		return index, err
	})
	return out, err
}
