package server

import (
	"context"

	"consul.internal/acl"
	"consul.internal/configentry"
	"consul.internal/internal/fault"
	"consul.internal/internal/filter"
	"consul.internal/rpc"
	"consul.internal/server/vet"
	"consul.internal/store"
	"consul.internal/store/fsm"
	"github.com/hashicorp/go-memdb"
)

func enterConfig(s *Server, c configOps) {
	handle(s, rpc.ConfigApply, c.apply)
	handle(s, rpc.ConfigGet, c.get)
	handle(s, rpc.ConfigList, c.list)
}

// primary is the datacenter that owns config entries.
func (s *Server) primary() string {
	if s.cfg.PrimaryDatacenter == "" {
		return s.cfg.Datacenter
	}
	return s.cfg.PrimaryDatacenter
}

// apply writes or deletes an entry, in the primary datacenter.
func (s configOps) apply(ctx context.Context, in *rpc.ConfigApplyRequest) (*rpc.ConfigApplyReply, error) {
	if own := s.cfg.Datacenter; s.primary() != own {
		if in.Forwarded {
			return nil, fault.Newf(fault.Invalid, "config entries of %q belong to %q: set the same primary_datacenter everywhere", own, s.primary())
		}
		if s.deps.Remote == nil {
			return nil, fault.Newf(fault.NoRoute, "No path to datacenter")
		}
		there := *in
		there.Datacenter, there.Forwarded = s.primary(), true
		return rpc.Call(ctx, s.deps.Remote, rpc.ConfigApply, &there)
	}
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	change := &fsm.ChangeConfig{Put: in.Put, CAS: in.CAS}
	if in.Put != nil {
		if err := in.Put.Prepare(); err != nil {
			return nil, err
		}
	} else {
		if err := configentry.CheckKind(in.Kind); err != nil {
			return nil, err
		}
		if in.Name == "" {
			return nil, fault.Newf(fault.NotFound, "Must provide both a kind and name to delete")
		}
		change.Kind, change.Name = in.Kind, in.Name
	}
	kind, name := change.Kind, change.Name
	if in.Put != nil {
		kind, name = in.Put.Kind, in.Put.Name
	}
	take := vet.ConfigWrite(kind, name)
	if err := s.MayWrite(ctx, in.Target, take.Resource, take.Name); err != nil {
		return nil, err
	}
	out := new(rpc.ConfigApplyReply)
	return out, s.write(ctx, func(ctx context.Context) (_ uint64, err error) {
		out.Done, err = store.ChangeConfig(ctx, s.store, change)
		return 0, err
	})
}

func (s configOps) get(ctx context.Context, in *rpc.ConfigGetRequest) (*rpc.ConfigEntriesReply, error) {
	if err := configentry.CheckKind(in.Kind); err != nil {
		return nil, err
	}
	out := new(rpc.ConfigEntriesReply)
	err := s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, e := s.store.State().ConfigEntries().Get(ws, in.Kind, in.Name)
		if take := vet.ConfigRead(in.Kind, in.Name); !take.Free {
			if err := v.Need(take.Resource, take.Name, acl.Read); err != nil {
				return 0, err
			}
		}
		if e == nil {
			return 0, fault.Newf(fault.NotFound, "Config entry not found for %q / %q", in.Kind, in.Name)
		}
		out.Entries = []*configentry.Entry{e}
		return index, nil
	})
	return out, err
}

func (s configOps) list(ctx context.Context, in *rpc.ConfigListRequest) (*rpc.ConfigEntriesReply, error) {
	if in.Kind != "" {
		if err := configentry.CheckKind(in.Kind); err != nil {
			return nil, err
		}
	}
	wanted, err := filter.New[*configentry.Entry](in.Filter)
	if err != nil {
		return nil, err
	}
	out := new(rpc.ConfigEntriesReply)
	err = s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (index uint64, err error) {
		index, out.Entries = s.store.State().ConfigEntries().List(ws, in.Kind)
		out.Entries = vet.Visible(v, out.Entries, v.Entry)
		out.Entries, err = filter.Slice(wanted, out.Entries)
		if in.Kind == "" && v.Hidden {
			// Who copies all of them must not take what is hidden for gone.
			return 0, fault.Newf(fault.Denied, "Permission denied: the token may not see all config entries; it needs service:read and intentions:read for all services, mesh:read and operator:read")
		}
		return index, err
	})
	return out, err
}
