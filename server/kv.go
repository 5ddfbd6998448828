package server

import (
	"context"
	"errors"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/rpc"
	"consul.internal/server/vet"
	"consul.internal/store/keys"
	"github.com/hashicorp/go-memdb"
)

// kvOps are the operations on keys, txnOps those of transactions.
type (
	kvOps  struct{ *Server }
	txnOps struct{ *Server }
)

func enterKeys(s *Server) {
	entries, txns, sessions, events := kvOps{s}, txnOps{s}, sessionOps{s}, eventOps{s}
	handle(s, rpc.KeyApply, entries.apply)
	handle(s, rpc.KeyGet, entries.get)
	handle(s, rpc.KeyList, entries.list)
	handle(s, rpc.KeyNames, entries.names)
	handle(s, rpc.TxnApply, txns.apply)
	handle(s, rpc.TxnRead, txns.read)
	handle(s, rpc.SessionCreate, sessions.create)
	handle(s, rpc.SessionDestroy, sessions.destroy)
	handle(s, rpc.SessionRenew, sessions.renew)
	handle(s, rpc.SessionGet, sessions.get)
	handle(s, rpc.SessionList, sessions.list)
	handle(s, rpc.EventFire, events.fire)
}

// bounded gives a change as long as a caller would wait for a leader.
func (s *Server) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.cfg.RPCHoldTimeout)
}

func (s kvOps) apply(ctx context.Context, in *rpc.KeyApplyRequest) (*rpc.KeyApplyReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	if failed := kv.Judge([]kv.Op{{KV: &in.KeyOp}}); len(failed) > 0 {
		return nil, fault.Newf(fault.Invalid, "%s", failed[0].What)
	}
	if !in.Verb.Changes() {
		return nil, fault.Newf(fault.Invalid, "Invalid KV operation: %s", in.Verb)
	}
	v, err := s.Changer(ctx, in.Target)
	if err == nil {
		err = v.Key(&in.KeyOp)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	done, err := keys.Of(s.store).Change(ctx, &in.KeyOp)
	if err != nil {
		return nil, err
	}
	return &rpc.KeyApplyReply{Done: done}, nil
}

func (s kvOps) get(ctx context.Context, in *rpc.KeyGetRequest) (*rpc.EntriesReply, error) {
	out := new(rpc.EntriesReply)
	err := s.Server.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, e := s.store.State().Keys().Get(ws, in.Key)
		if err := v.Need(acl.Key, in.Key, acl.Read); err != nil {
			return 0, err
		}
		out.Entries = nil
		if e != nil {
			out.Entries = []*kv.Entry{e}
		}
		return index, nil
	})
	return out, err
}

func (s kvOps) list(ctx context.Context, in *rpc.KeyListRequest) (*rpc.EntriesReply, error) {
	out := new(rpc.EntriesReply)
	err := s.Server.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (index uint64, err error) {
		if err := v.Need(acl.Key, in.Prefix, acl.List); s.cfg.ACL.KeyListPolicy && err != nil {
			return 0, err
		}
		index, out.Entries = s.store.State().Keys().List(ws, in.Prefix)
		out.Entries = vet.Visible(v, out.Entries, func(e *kv.Entry) bool { return v.Sees(acl.Key, e.Key) })
		return index, nil
	})
	return out, err
}

func (s kvOps) names(ctx context.Context, in *rpc.KeyListRequest) (*rpc.KeyNamesReply, error) {
	out := new(rpc.KeyNamesReply)
	err := s.Server.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (index uint64, err error) {
		if err := v.Need(acl.Key, in.Prefix, acl.List); s.cfg.ACL.KeyListPolicy && err != nil {
			return 0, err
		}
		all := s.store.State().Keys()
		if v.Under(acl.Key, in.Prefix, acl.Read) {
			index, out.Names = all.Names(ws, in.Prefix, in.Separator)
			return index, nil
		}
		index, entries := all.List(ws, in.Prefix)
		out.Names = nil
		for _, e := range vet.Visible(v, entries, func(e *kv.Entry) bool { return v.Sees(acl.Key, e.Key) }) {
			out.Names = kv.AddName(out.Names, e.Key, in.Prefix, in.Separator)
		}
		return index, nil
	})
	return out, err
}

// settle gives the operations of a transaction what the catalog adds.
func (s txnOps) settle(ops []kv.Op) error {
	if len(ops) > kv.MaxOps {
		return fault.Newf(fault.Invalid, "Transaction contains too many operations (%d > %d)", len(ops), kv.MaxOps)
	}
	for i := range ops {
		if n := ops[i].Node; n != nil {
			n.Node.Datacenter = s.cfg.Datacenter
		}
	}
	return nil
}

func (s txnOps) apply(ctx context.Context, in *rpc.TxnRequest) (*rpc.TxnReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	if err := s.settle(in.Ops); err != nil {
		return nil, err
	}
	if failed := kv.Judge(in.Ops); len(failed) > 0 {
		return &rpc.TxnReply{Errors: failed}, nil
	}
	v, err := s.Changer(ctx, in.Target)
	if err != nil {
		return nil, err
	}
	if failed := v.Ops(in.Ops); len(failed) > 0 {
		return &rpc.TxnReply{Errors: failed}, nil
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	results, err := keys.Of(s.store).Transact(ctx, in.Ops)
	if failed, ok := errors.AsType[kv.Failed](err); ok {
		return &rpc.TxnReply{Errors: failed}, nil
	}
	return &rpc.TxnReply{Results: vet.Visible(v.Sight, results, v.Result)}, err
}

func (s txnOps) read(ctx context.Context, in *rpc.TxnReadRequest) (*rpc.TxnReply, error) {
	if err := s.settle(in.Ops); err != nil {
		return nil, err
	}
	if failed := kv.Judge(in.Ops); len(failed) > 0 {
		return &rpc.TxnReply{Errors: failed}, s.here(in.Target)
	}
	for i := range in.Ops {
		if in.Ops[i].Changes() {
			return nil, fault.Newf(fault.Invalid, "operation %d changes something; it is not for a read", i)
		}
	}
	in.MinIndex = 0 // transactions do not block
	out := new(rpc.TxnReply)
	err := s.Server.read(ctx, &in.ReadOptions, &out.ReadMeta, func(_ memdb.WatchSet, v *vet.Sight) (index uint64, err error) {
		if failed := s.Vet(v).Ops(in.Ops); len(failed) > 0 {
			out.Errors = failed
			return 0, nil
		}
		out.Results, err = s.store.State().Keys().Read(in.Ops)
		out.Results = vet.Visible(v, out.Results, v.Result)
		if failed, ok := errors.AsType[kv.Failed](err); ok {
			out.Errors, err = failed, nil
		}
		return 0, err
	})
	return out, err
}
