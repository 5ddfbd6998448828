package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server/copied"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
	"github.com/hashicorp/go-memdb"
)

// copying is how copying ACLs from the primary datacenter goes, while this server leads.
type copying struct {
	mu   sync.Mutex
	says rpc.ACLReplicationReply
}

func (c *copying) note(change func(*rpc.ACLReplicationReply)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.says)
}

func (s aclOps) replication(ctx context.Context, in *rpc.ACLReplicationRequest) (*rpc.ACLReplicationReply, error) {
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	if err := s.verify(ctx); err != nil {
		return nil, err
	}
	s.copying.mu.Lock()
	defer s.copying.mu.Unlock()
	out := s.copying.says
	return &out, nil
}

// ReplicateACL is the leader's duty, in a secondary datacenter, to copy the primary's
// policies, its roles and, if the configuration says so, its global tokens, until
// ctx ends.
func (s *Server) ReplicateACL(ctx context.Context) {
	if !s.cfg.ACL.Enabled || s.primary() == s.cfg.Datacenter || s.deps.Remote == nil {
		return
	}
	a, kind := aclCopy{s}, "policies"
	if s.cfg.ACL.TokenReplication {
		kind = "tokens"
	}
	s.copying.note(func(r *rpc.ACLReplicationReply) {
		*r = rpc.ACLReplicationReply{Enabled: true, Running: true, SourceDatacenter: s.primary(), ReplicationType: kind}
	})
	defer s.copying.note(func(r *rpc.ACLReplicationReply) { r.Running = false })
	var wg sync.WaitGroup
	wg.Go(func() {
		s.follow(ctx, s.noted("ACL policies", a.pullPolicies, func(r *rpc.ACLReplicationReply) *uint64 { return &r.ReplicatedIndex }))
	})
	wg.Go(func() {
		s.follow(ctx, s.noted("ACL roles", a.pullRoles, func(r *rpc.ACLReplicationReply) *uint64 { return &r.ReplicatedRoleIndex }))
	})
	if s.cfg.ACL.TokenReplication {
		wg.Go(func() {
			s.follow(ctx, s.noted("ACL tokens", a.pullTokens, func(r *rpc.ACLReplicationReply) *uint64 { return &r.ReplicatedTokenIndex }))
		})
	}
	wg.Wait()
}

// noted is a replica whose progress is shown.
func (s *Server) noted(name string, pull func(context.Context, uint64) (uint64, error), index func(*rpc.ACLReplicationReply) *uint64) replica {
	return replica{name, func(ctx context.Context, from uint64) (uint64, error) {
		at, err := pull(ctx, from)
		s.copying.note(func(r *rpc.ACLReplicationReply) {
			now := time.Now().UTC().Truncate(time.Second)
			if err != nil {
				r.LastError, r.LastErrorMessage = now, err.Error()
				return
			}
			r.LastSuccess = now
			*index(r) = at
		})
		return at, err
	}}
}

// fromPrimary is how the primary is asked for changes after index.
func (s *Server) fromPrimary(index uint64) rpc.ReadOptions {
	opts := rpc.ReadOptions{Target: rpc.Target{Datacenter: s.primary()}, MinIndex: index, MaxWait: copied.Wait}
	if s.cfg.ACL.ReplicationToken != nil {
		opts.Token = s.cfg.ACL.ReplicationToken()
	}
	return opts
}

// copyMost is how much of what was copied goes in one entry of the log.
const copyMost = 100

// copyOver writes in entries of a bearable size: first what goes, so that its names
// are free, then what comes.
func copyOver[T any](ctx context.Context, s aclCopy, put []T, gone []string, into func(c *fsm.ChangeACL, put []T, gone []string)) error {
	for part := range slices.Chunk(gone, copyMost) {
		c := &fsm.ChangeACL{Copied: true}
		into(c, nil, part)
		if err := aclOps(s).change(ctx, c); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(put, copyMost) {
		c := &fsm.ChangeACL{Copied: true}
		into(c, part, nil)
		if err := aclOps(s).change(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// aclCopy copies the primary's ACLs.
type aclCopy struct{ *Server }

func (s aclCopy) acls() state.ACLs { return s.store.State().ACLs(nil) }

func (s aclCopy) pullPolicies(ctx context.Context, index uint64) (uint64, error) {
	out, err := rpc.Call(ctx, s.deps.Remote, rpc.ACLPolicyList, &rpc.ACLListRequest{ReadOptions: s.fromPrimary(index)})
	if err != nil {
		return 0, err
	}
	_, have := s.acls().Policies()
	put, gone := copied.Differ(have, out.Policies, func(p *acl.Policy) string { return p.ID },
		func(a, b *acl.Policy) bool { return string(a.Hash) == string(b.Hash) })
	put = copied.Aside(have, put, func(p *acl.Policy) string { return p.ID }, func(p *acl.Policy) *string { return &p.Name },
		func(p *acl.Policy) *acl.Policy { c := *p; c.Hash = nil; return &c }) // not what is to be, if it ends here
	return out.Index, copyOver(ctx, s, put, gone, func(c *fsm.ChangeACL, put []*acl.Policy, gone []string) {
		c.Policies, c.DeletePolicies = put, gone
	})
}

func (s aclCopy) pullRoles(ctx context.Context, index uint64) (uint64, error) {
	out, err := rpc.Call(ctx, s.deps.Remote, rpc.ACLRoleList, &rpc.ACLListRequest{ReadOptions: s.fromPrimary(index)})
	if err != nil {
		return 0, err
	}
	_, have := s.acls().Roles()
	put, gone := copied.Differ(have, out.Roles, func(r *acl.Role) string { return r.ID },
		func(a, b *acl.Role) bool { return string(a.Hash) == string(b.Hash) })
	put = copied.Aside(have, put, func(r *acl.Role) string { return r.ID }, func(r *acl.Role) *string { return &r.Name },
		func(r *acl.Role) *acl.Role { c := *r; c.Hash = nil; return &c })
	s.linked(ctx, func(here state.ACLs) bool {
		return !slices.ContainsFunc(put, func(r *acl.Role) bool { return dangles(here, r.Policies, nil) })
	})
	return out.Index, copyOver(ctx, s, put, gone, func(c *fsm.ChangeACL, put []*acl.Role, gone []string) {
		c.Roles, c.DeleteRoles = put, gone
	})
}

// pullTokens copies global tokens. Local ones of either datacenter stay where they
// are. Whoever may not read secrets copies nothing, rather than tokens that nobody has.
func (s aclCopy) pullTokens(ctx context.Context, index uint64) (uint64, error) {
	out, err := rpc.Call(ctx, s.deps.Remote, rpc.ACLTokenList, &rpc.ACLTokenListRequest{ReadOptions: s.fromPrimary(index), Global: true})
	if err != nil {
		return 0, err
	}
	global := func(tokens []*acl.Token) []*acl.Token {
		return slices.DeleteFunc(slices.Clone(tokens), func(t *acl.Token) bool { return t.Local })
	}
	want := global(out.Tokens)
	if slices.ContainsFunc(want, func(t *acl.Token) bool { return t.SecretID == hiddenSecret }) {
		return 0, fault.Newf(fault.Denied, "the replication token may not read the secrets of tokens: it needs acl:write (acl.tokens.replication)")
	}
	_, have := s.acls().Tokens()
	put, gone := copied.Differ(global(have), want, func(t *acl.Token) string { return t.AccessorID },
		func(a, b *acl.Token) bool { return string(a.Hash) == string(b.Hash) && a.SecretID == b.SecretID })
	s.linked(ctx, func(here state.ACLs) bool {
		return !slices.ContainsFunc(put, func(t *acl.Token) bool { return dangles(here, t.Policies, t.Roles) })
	})
	return out.Index, copyOver(ctx, s, put, gone, func(c *fsm.ChangeACL, put []*acl.Token, gone []string) {
		c.Tokens, c.DeleteTokens = put, gone
	})
}

// linkWait is how long copies wait for what they are linked to. It comes a moment
// sooner or later; what the primary deleted meanwhile never comes.
const linkWait = time.Second

// linked waits until all that is linked to has been copied too: with a token that comes
// before its policies, somebody would be refused for a moment.
func (s aclCopy) linked(ctx context.Context, whole func(here state.ACLs) bool) {
	ctx, cancel := context.WithTimeout(ctx, linkWait)
	defer cancel()
	for {
		ws := memdb.NewWatchSet()
		if whole(s.store.State().ACLs(ws)) || ws.WatchCtx(ctx) != nil {
			return
		}
	}
}

// dangles tells whether a policy or role of these is not here.
func dangles(here state.ACLs, policies, roles []acl.Link) bool {
	return slices.ContainsFunc(policies, func(l acl.Link) bool { return here.FindPolicy(l.ID) == nil }) ||
		slices.ContainsFunc(roles, func(l acl.Link) bool { return here.FindRole(l.ID) == nil })
}
