package server

import (
	"context"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/rpc"
	"consul.internal/server/vet"
	"consul.internal/store/keys"
	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/go-uuid"
)

// Leases measures, on the leader, for how long nobody renewed a session.
type Leases interface {
	// Renew begins a session's time anew. It reports false if its end has begun.
	Renew(s *kv.Session) bool
}

// sessionOps are the operations on sessions.
type sessionOps struct{ *Server }

func (s sessionOps) create(ctx context.Context, in *rpc.SessionCreateRequest) (*rpc.SessionCreateReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	session := in.Session
	if err := s.MayWrite(ctx, in.Target, acl.Session, vet.Known(s.store.State(), session.Node)); err != nil {
		return nil, err
	}
	if err := session.Validate(s.cfg.SessionTTLMin); err != nil {
		return nil, err
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, fault.With(fault.Unavailable, err)
	}
	session.ID = id
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return &rpc.SessionCreateReply{ID: id}, keys.Of(s.store).CreateSession(ctx, &session)
}

func (s sessionOps) destroy(ctx context.Context, in *rpc.SessionRequest) (*rpc.Empty, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	if in.ID == "" {
		return nil, required("ID")
	}
	// That one is ended which does not exist takes no right.
	v, err := s.Changer(ctx, in.Target)
	if err != nil {
		return nil, err
	}
	if _, old := s.store.State().Sessions().Get(nil, in.ID); old != nil {
		if err := v.Need(acl.Session, vet.Known(s.store.State(), old.Node), acl.Write); err != nil {
			return nil, err
		}
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return new(rpc.Empty), keys.Of(s.store).DestroySessions(ctx, in.ID)
}

// renew is for the leader, which a majority confirms: another one may have ended
// the session.
func (s sessionOps) renew(ctx context.Context, in *rpc.SessionRequest) (*rpc.SessionsReply, error) {
	if err := s.led(ctx, in.Target); err != nil {
		return nil, err
	}
	sessions := s.store.State().Sessions()
	v, err := s.Sight(ctx, in.Target)
	if err != nil {
		return nil, err
	}
	_, session := sessions.Get(nil, in.ID)
	if session != nil {
		if err := v.Need(acl.Session, session.Node, acl.Write); err != nil {
			return nil, err
		}
	}
	out := new(rpc.SessionsReply)
	if session == nil || s.deps.Leases != nil && !s.deps.Leases.Renew(session) {
		return out, nil
	}
	// One that ended meanwhile was not renewed.
	if _, session = sessions.Get(nil, in.ID); session != nil {
		out.Sessions = []*kv.Session{session}
	}
	return out, nil
}

func (s sessionOps) get(ctx context.Context, in *rpc.SessionGetRequest) (*rpc.SessionsReply, error) {
	out := new(rpc.SessionsReply)
	err := s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		index, session := s.store.State().Sessions().Get(ws, in.ID)
		out.Sessions = nil
		if session != nil {
			out.Sessions = vet.Visible(v, []*kv.Session{session}, v.Session)
		}
		return index, nil
	})
	return out, err
}

func (s sessionOps) list(ctx context.Context, in *rpc.SessionListRequest) (*rpc.SessionsReply, error) {
	out := new(rpc.SessionsReply)
	err := s.read(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet, v *vet.Sight) (index uint64, err error) {
		if in.Node == "" {
			index, out.Sessions = s.store.State().Sessions().List(ws)
		} else {
			index, out.Sessions = s.store.State().Sessions().OfNode(ws, in.Node)
		}
		out.Sessions = vet.Visible(v, out.Sessions, v.Session)
		return index, nil
	})
	return out, err
}
