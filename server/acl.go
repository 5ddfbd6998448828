package server

import (
	"context"
	"regexp"
	"sync"
	"time"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
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

// maxBearers bounds the decisions that are kept; far more tokens than are in use at once.
const maxBearers = 4096

// bearer is who makes a request.
type bearer struct {
	token *acl.Token
	auth  *acl.Authorizer
}

// bearers are the decisions that follow from one state of the ACLs.
type bearers struct {
	mu    sync.Mutex
	stamp state.ACLStamp
	of    map[string]*bearer // by secret
}

// bearer is who has a secret, as the state has it now. That a token is gone, has
// ended or has been given other rights counts at once.
func (s *Server) bearer(secret string) (*bearer, error) {
	if secret == "" {
		secret = acl.AnonymousSecret
	}
	now := s.store.State().ACLs(nil)
	stamp := now.Stamp()
	b := s.bearers.get(stamp, secret)
	if b == nil {
		token := now.TokenBySecret(secret)
		switch {
		case token == nil && secret == acl.AnonymousSecret:
			token = acl.Anonymous()
		case token == nil:
			return nil, errNoToken()
		}
		auth, err := token.Grants(now).Authorizer(s.cfg.Datacenter, acl.Options{
			DefaultAllow: s.cfg.ACL.DefaultAllow, KeyListPolicy: s.cfg.ACL.KeyListPolicy,
		})
		if err != nil {
			return nil, fault.Newf(fault.Denied, "token with AccessorID '%s' cannot be judged: %w", token.AccessorID, err)
		}
		b = &bearer{token, auth}
		s.bearers.put(stamp, secret, b)
	}
	if b.token.Expired(time.Now()) {
		return nil, errNoToken()
	}
	return b, nil
}

func errNoToken() error { return fault.Newf(fault.Denied, "ACL not found") }

func (c *bearers) get(stamp state.ACLStamp, secret string) *bearer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stamp != stamp {
		return nil
	}
	return c.of[secret]
}

func (c *bearers) put(stamp state.ACLStamp, secret string, b *bearer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stamp != c.stamp || len(c.of) >= maxBearers || c.of == nil {
		c.stamp, c.of = stamp, map[string]*bearer{}
	}
	c.of[secret] = b
}

// authorise refuses what the target's token may not do. Where there is no access
// control, all is allowed.
func (s *Server) authorise(t rpc.Target, r acl.Resource, name string, want acl.Access) error {
	if !s.cfg.ACL.Enabled {
		return nil
	}
	b, err := s.bearer(t.Token)
	if err != nil {
		return err
	}
	if !b.auth.Allowed(r, name, want) {
		return fault.Newf(fault.Denied, "%s", acl.Refusal(b.token.AccessorID, r, name, want))
	}
	return nil
}

// aclOps are the operations on what decides who may do what.
type aclOps struct{ *Server }

func (s *Server) enterACL(a aclOps) {
	handle(s, rpc.ACLBootstrap, a.bootstrap)
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
	return s.read(ctx, opts, meta, func(ws memdb.WatchSet) (uint64, error) {
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
