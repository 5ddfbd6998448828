package server

import (
	"context"
	"regexp"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server/login"
	"consul.internal/server/vet"
	"consul.internal/store"
	"consul.internal/store/fsm"
	"github.com/hashicorp/go-memdb"
)

// ACL is how access is controlled.
type ACL struct {
	Enabled       bool
	DefaultAllow  bool   // what no rule speaks of is allowed
	KeyListPolicy bool   // to list keys takes "list"
	DownPolicy    string // shown only
	// InitialManagement is the secret of a token that may do everything; "" = none is made.
	InitialManagement string
	// TokenReplication has a secondary datacenter copy the primary's global tokens.
	TokenReplication bool
	// ReplicationToken is what the primary is asked with.
	ReplicationToken func() string
	// TakeReset gives the index that a person wrote down to allow another bootstrap,
	// once; 0 = none.
	TakeReset func() uint64
}

// aclDisabled is the known text where there is no access control.
const aclDisabled = "ACL support disabled"

// authorise refuses what the target's token may not do with ACLs themselves.
func (s aclOps) authorise(t rpc.Target, r acl.Resource, name string, want acl.Access) error {
	return s.May(context.Background(), t, r, name, want)
}

// aclOps are the operations on what decides who may do what.
type aclOps struct{ *Server }

func enterACL(s *Server, a aclOps) {
	handle(s, rpc.ACLBootstrap, a.bootstrap)
	handle(s, rpc.ACLResolve, a.resolve)
	handle(s, rpc.ACLReplication, a.replication)
	handle(s, rpc.ACLPermitted, a.permitted)
	handle(s, rpc.ACLTokenSet, a.setToken)
	handle(s, rpc.ACLTokenClone, a.cloneToken)
	handle(s, rpc.ACLTokenDelete, a.deleteToken)
	handle(s, rpc.ACLTokenGet, a.token)
	handle(s, rpc.ACLTokenList, a.tokens)
	handle(s, rpc.ACLPolicySet, a.setPolicy)
	handle(s, rpc.ACLPolicyDelete, a.deletePolicy)
	handle(s, rpc.ACLPolicyGet, a.policy)
	handle(s, rpc.ACLPolicyList, a.policies)
	handle(s, rpc.ACLRoleSet, a.setRole)
	handle(s, rpc.ACLRoleDelete, a.deleteRole)
	handle(s, rpc.ACLRoleGet, a.role)
	handle(s, rpc.ACLRoleList, a.roles)
	l := login.New(login.Deps{
		Store: s.store, Datacenter: s.cfg.Datacenter, Primary: s.primary(),
		MayLead: a.mayLead, MayChange: a.mayChange, Look: a.look, Shown: a.shown,
		Elsewhere: func(ctx context.Context, in *rpc.ACLLogoutRequest) (bool, error) {
			_, done, err := elsewhere(ctx, a, &in.ACLWrite, rpc.ACLLogout, in)
			return done, err
		},
		ShortestToken: shortestToken, LongestToken: longestToken, HoldTime: s.cfg.RPCHoldTimeout,
	})
	handle(s, rpc.ACLMethodSet, l.SetMethod)
	handle(s, rpc.ACLMethodDelete, l.DeleteMethod)
	handle(s, rpc.ACLMethodGet, l.Method)
	handle(s, rpc.ACLMethodList, l.Methods)
	handle(s, rpc.ACLBindingSet, l.SetBinding)
	handle(s, rpc.ACLBindingDelete, l.DeleteBinding)
	handle(s, rpc.ACLBindingGet, l.Binding)
	handle(s, rpc.ACLBindingList, l.Bindings)
	handle(s, rpc.ACLLogin, l.Login)
	handle(s, rpc.ACLLogout, l.Logout)
}

func (s aclOps) permitted(_ context.Context, in *rpc.ACLPermittedRequest) (*rpc.Empty, error) {
	if !s.cfg.ACL.Enabled {
		return nil, fault.Newf(fault.Denied, aclDisabled)
	}
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	return new(rpc.Empty), s.authorise(in.Target, in.Resource, in.Name, in.Access)
}

// elsewhere has the primary datacenter perform a change, if it is another one.
func elsewhere[Req, Resp any](ctx context.Context, s aclOps, w *rpc.ACLWrite, m rpc.Method[Req, Resp], in *Req) (*Resp, bool, error) {
	switch {
	case s.primary() == s.cfg.Datacenter:
		return nil, false, nil
	case w.Forwarded:
		return nil, true, fault.Newf(fault.Invalid, "ACLs of %q belong to %q: set the same primary_datacenter everywhere", s.cfg.Datacenter, s.primary())
	case s.deps.Remote == nil:
		return nil, true, fault.Newf(fault.NoRoute, "No path to datacenter")
	}
	w.Datacenter, w.Forwarded = s.primary(), true
	out, err := rpc.Call(ctx, s.deps.Remote, m, in)
	return out, true, err
}

// mayChange makes sure that a change is for this datacenter, that this server
// leads, so that it judges by the last state, and that the token may change ACLs.
func (s aclOps) mayChange(ctx context.Context, t rpc.Target) error {
	if err := s.mayLead(ctx, t); err != nil {
		return err
	}
	return s.authorise(t, acl.ACL, "", acl.Write)
}

func (s aclOps) mayLead(ctx context.Context, t rpc.Target) error {
	if !s.cfg.ACL.Enabled {
		return fault.Newf(fault.Denied, aclDisabled)
	}
	if err := s.here(t); err != nil {
		return err
	}
	return s.verify(ctx)
}

func (s aclOps) change(ctx context.Context, c *fsm.ChangeACL) error {
	return s.write(ctx, func(ctx context.Context) (uint64, error) {
		_, index, err := store.Apply(ctx, s.store, fsm.TypeACL, c)
		return index, err
	})
}

// look performs a read of ACLs, which takes acl:read.
func (s aclOps) look(ctx context.Context, opts *rpc.ReadOptions, meta *rpc.ReadMeta, run func(ws memdb.WatchSet) (uint64, error)) error {
	if !s.cfg.ACL.Enabled {
		return fault.Newf(fault.Denied, aclDisabled)
	}
	return s.read(ctx, opts, meta, func(ws memdb.WatchSet, v *vet.Sight) (uint64, error) {
		s.store.State().ACLs(ws).Stamp() // who waits loses what he may see at once
		if err := s.authorise(opts.Target, acl.ACL, "", acl.Read); err != nil {
			return 0, err
		}
		return run(ws)
	})
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// isUUID reports whether an ID or secret has the form that all of them have.
func isUUID(id string) bool { return uuidForm.MatchString(id) }
