package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/go-uuid"
)

const (
	// shortestToken and longestToken bound the life of a token that ends: as
	// documented, long enough for the clocks of servers to differ a little.
	shortestToken = time.Minute
	longestToken  = 24 * time.Hour
	// hiddenSecret stands for a secret that the reader may not know.
	hiddenSecret = "<hidden>"
)

func (s aclOps) bootstrap(ctx context.Context, in *rpc.ACLBootstrapRequest) (*rpc.ACLTokenReply, error) {
	if out, done, err := elsewhere(ctx, s, &in.ACLWrite, rpc.ACLBootstrap, in); done {
		return out, err
	}
	if err := s.mayLead(ctx, in.Target); err != nil {
		return nil, err
	}
	if in.Secret != "" && !isUUID(in.Secret) {
		return nil, fault.Newf(fault.Invalid, "invalid token: BootstrapSecret is not a valid UUID")
	}
	if s.store.State().ACLs(nil).FindPolicy(acl.ManagementID) == nil { // the leader has not come to it yet
		if err := s.found(ctx); err != nil && s.store.State().ACLs(nil).FindPolicy(acl.ManagementID) == nil {
			return nil, err
		}
	}
	token, err := management("Bootstrap Token (Global Management)", in.Secret)
	if err != nil {
		return nil, err
	}
	reset := uint64(0)
	if s.cfg.ACL.TakeReset != nil && s.store.State().ACLs(nil).Bootstrapped() > 0 {
		reset = s.cfg.ACL.TakeReset()
	}
	if err := s.store.State().ACLs(nil).MayBootstrap(reset); err != nil {
		return nil, err // what anybody can ask for fills no log
	}
	if err := s.change(ctx, &fsm.ChangeACL{Bootstrap: token, Reset: reset}); err != nil {
		return nil, err
	}
	return s.shown(token.AccessorID)
}

// management is a new token that may do everything.
func management(description, secret string) (*acl.Token, error) {
	t := &acl.Token{Description: description, SecretID: secret, Policies: []acl.Link{{ID: acl.ManagementID, Name: acl.ManagementName}}}
	return t, mint(t)
}

// mint gives a new token what it lacks of IDs, and its time of birth.
func mint(t *acl.Token) error {
	for _, id := range []*string{&t.AccessorID, &t.SecretID} {
		if *id == "" {
			fresh, err := uuid4()
			if err != nil {
				return err
			}
			*id = fresh
		}
	}
	t.CreateTime = time.Now().UTC().Truncate(time.Second) // what the log keeps
	t.Seal()
	return nil
}

func uuid4() (string, error) {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return "", fault.Newf(fault.Unavailable, "no random numbers: %w", err)
	}
	return id, nil
}

func (s aclOps) setToken(ctx context.Context, in *rpc.ACLTokenSetRequest) (*rpc.ACLTokenReply, error) {
	if !in.Set.Local {
		if out, done, err := elsewhere(ctx, s, &in.ACLWrite, rpc.ACLTokenSet, in); done {
			return out, err
		}
	}
	if err := s.mayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	t := in.Set
	now := s.store.State().ACLs(nil)
	var err error
	if in.Update {
		err = revised(&t, in.TTL, now)
	} else {
		err = born(&t, in.TTL)
	}
	if err == nil {
		err = linked(&t.Policies, &t.Roles, t.ServiceIdentities, t.NodeIdentities, t.TemplatedPolicies, now)
	}
	if err != nil {
		return nil, err
	}
	t.Seal()
	if err := s.change(ctx, &fsm.ChangeACL{Tokens: []*acl.Token{&t}, Update: in.Update}); err != nil {
		return nil, err
	}
	return s.shown(t.AccessorID)
}

// born judges a new token and gives it what it lacks.
func born(t *acl.Token, ttl time.Duration) error {
	switch {
	case t.AccessorID != "" && !isUUID(t.AccessorID):
		return fault.Newf(fault.Invalid, "Invalid Token: AccessorID - not a valid UUID")
	case t.SecretID != "" && !isUUID(t.SecretID):
		return fault.Newf(fault.Invalid, "Invalid Token: SecretID - not a valid UUID")
	case t.AuthMethod != "":
		return fault.Newf(fault.Invalid, "AuthMethod field is disallowed outside of Login")
	case ttl < 0:
		return fault.Newf(fault.Invalid, "Token Expiration TTL '%s' should be > 0", ttl)
	case ttl > 0 && t.ExpirationTime != nil:
		return fault.Newf(fault.Invalid, "Token Expiration TTL and Expiration Time cannot both be set")
	}
	if err := mint(t); err != nil {
		return err
	}
	if t.ExpirationTime != nil {
		ttl = t.ExpirationTime.Sub(t.CreateTime)
	}
	switch {
	case ttl == 0 && t.ExpirationTime == nil:
		return nil
	case ttl < shortestToken:
		return fault.Newf(fault.Invalid, "ExpirationTime cannot be less than %s in the future (was %s)", shortestToken, ttl)
	case ttl > longestToken:
		return fault.Newf(fault.Invalid, "ExpirationTime cannot be more than %s in the future (was %s)", longestToken, ttl)
	}
	end := t.CreateTime.Add(ttl).Truncate(time.Second)
	t.ExpirationTime = &end
	return nil
}

// revised judges what is to become of a token that there is.
func revised(t *acl.Token, ttl time.Duration, now state.ACLs) error {
	if !isUUID(t.AccessorID) {
		return fault.Newf(fault.Invalid, "Invalid Token: AccessorID - not a valid UUID")
	}
	old := now.Token(t.AccessorID)
	switch {
	case old == nil || old.Expired(time.Now()):
		return fault.Newf(fault.NotFound, "Cannot find token %q", t.AccessorID)
	case t.SecretID != "" && t.SecretID != old.SecretID:
		return fault.Newf(fault.Invalid, "Changing a token's SecretID is not permitted")
	case t.Local != old.Local:
		return fault.Newf(fault.Invalid, "Cannot toggle local mode of %s", t.AccessorID)
	case t.AuthMethod != "" && t.AuthMethod != old.AuthMethod:
		return fault.Newf(fault.Invalid, "Cannot change AuthMethod of %s", t.AccessorID)
	case ttl != 0, t.ExpirationTime != nil && (old.ExpirationTime == nil || !t.ExpirationTime.Equal(*old.ExpirationTime)):
		return fault.Newf(fault.Invalid, "Cannot change expiration time of %s", t.AccessorID)
	}
	t.AccessorID, t.SecretID, t.AuthMethod = old.AccessorID, old.SecretID, old.AuthMethod
	t.CreateTime, t.ExpirationTime = old.CreateTime, old.ExpirationTime
	return nil
}

func (s aclOps) cloneToken(ctx context.Context, in *rpc.ACLTokenCloneRequest) (*rpc.ACLTokenReply, error) {
	old := s.store.State().ACLs(nil).Token(in.Accessor)
	if old == nil || !old.Local {
		if out, done, err := elsewhere(ctx, s, &in.ACLWrite, rpc.ACLTokenClone, in); done {
			return out, err
		}
	}
	if err := s.mayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	old = s.store.State().ACLs(nil).Token(in.Accessor)
	switch {
	case old == nil || old.Expired(time.Now()):
		return nil, errNoSuchToken()
	case old.AccessorID == acl.AnonymousID:
		return nil, fault.Newf(fault.Invalid, "Cannot clone the anonymous token")
	case old.AuthMethod != "":
		return nil, fault.Newf(fault.Invalid, "Cannot clone a token created from an auth method")
	}
	t := *old
	t.AccessorID, t.SecretID = "", ""
	if in.Description != "" {
		t.Description = in.Description
	}
	if err := mint(&t); err != nil {
		return nil, err
	}
	if err := s.change(ctx, &fsm.ChangeACL{Tokens: []*acl.Token{&t}}); err != nil {
		return nil, err
	}
	return s.shown(t.AccessorID)
}

func errNoSuchToken() error { return fault.Newf(fault.Denied, "token does not exist: ACL not found") }

func (s aclOps) deleteToken(ctx context.Context, in *rpc.ACLDeleteRequest) (*rpc.Empty, error) {
	if old := s.store.State().ACLs(nil).Token(in.ID); old == nil || !old.Local {
		if out, done, err := elsewhere(ctx, s, &in.ACLWrite, rpc.ACLTokenDelete, in); done {
			return out, err
		}
	}
	if err := s.mayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	old := s.store.State().ACLs(nil).Token(in.ID)
	switch {
	case !isUUID(in.ID):
		return nil, fault.Newf(fault.Invalid, "Accessor ID is missing or an invalid UUID")
	case in.ID == acl.AnonymousID:
		return nil, fault.Newf(fault.Invalid, "Delete operation not permitted on the anonymous token")
	case old == nil:
		return nil, fault.Newf(fault.NotFound, "Cannot find token to delete")
	case old.SecretID == in.Token:
		return nil, fault.Newf(fault.Invalid, "Deletion of the request's authorization token is not permitted")
	}
	return new(rpc.Empty), s.change(ctx, &fsm.ChangeACL{DeleteTokens: []string{old.AccessorID}})
}

// shown is a token as it is after a change of it.
func (s aclOps) shown(accessor string) (*rpc.ACLTokenReply, error) {
	now := s.store.State().ACLs(nil)
	t := now.Token(accessor)
	if t == nil {
		return nil, fault.Newf(fault.Unknown, "the token was written, but is not there any more")
	}
	return &rpc.ACLTokenReply{Token: named(t, now)}, nil
}

// named is a copy of a token whose links bear the names of now; what is not there
// any more is left out.
func named(t *acl.Token, now state.ACLs) *acl.Token {
	c := *t
	c.Policies, c.Roles = namedPolicies(t.Policies, now), namedRoles(t.Roles, now)
	return &c
}

func namedPolicies(links []acl.Link, now state.ACLs) (out []acl.Link) {
	for _, l := range links {
		if p := now.FindPolicy(l.ID); p != nil {
			out = append(out, acl.Link{ID: p.ID, Name: p.Name})
		}
	}
	return out
}

func namedRoles(links []acl.Link, now state.ACLs) (out []acl.Link) {
	for _, l := range links {
		if r := now.FindRole(l.ID); r != nil {
			out = append(out, acl.Link{ID: r.ID, Name: r.Name})
		}
	}
	return out
}

func (s aclOps) token(ctx context.Context, in *rpc.ACLTokenGetRequest) (*rpc.ACLTokenReply, error) {
	if !s.cfg.ACL.Enabled {
		return nil, fault.Newf(fault.Denied, aclDisabled)
	}
	if in.Accessor == "" {
		return s.self(ctx, in)
	}
	out := new(rpc.ACLTokenReply)
	return out, s.look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		if len(in.Accessor) != 36 {
			return 0, fault.Newf(fault.Invalid, "failed acl token lookup: index error: UUID must be 36 characters")
		}
		now := s.store.State().ACLs(ws)
		t := now.Token(in.Accessor)
		if t == nil || t.Expired(time.Now()) {
			return 0, errNoSuchToken()
		}
		hide := s.hides(in.Target)
		s.show(out, hide(named(t, now)), in.Expanded, now)
		index, _ := now.Tokens()
		return index, nil
	})
}

// self is the token that the request is made with, which its bearer may see.
func (s aclOps) self(ctx context.Context, in *rpc.ACLTokenGetRequest) (*rpc.ACLTokenReply, error) {
	out := new(rpc.ACLTokenReply)
	return out, s.watch(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		now := s.store.State().ACLs(ws)
		now.Stamp()
		b, err := s.Bearer(in.Token)
		if err != nil || b.Token.AccessorID == acl.AnonymousID {
			return 0, errNoSuchToken()
		}
		s.show(out, named(b.Token, now), in.Expanded, now)
		index, _ := now.Tokens()
		return index, nil
	})
}

func (s aclOps) show(out *rpc.ACLTokenReply, t *acl.Token, expanded bool, now state.ACLs) {
	out.Token, out.Expanded = t, nil
	if expanded {
		g := t.Grants(now)
		out.Expanded = &g
	}
}

// hides takes secrets away from who may not write tokens.
func (s aclOps) hides(t rpc.Target) func(*acl.Token) *acl.Token {
	err := s.authorise(t, acl.ACL, "", acl.Write)
	return func(t *acl.Token) *acl.Token {
		if err != nil {
			t.SecretID = hiddenSecret
		}
		return t
	}
}

func (s aclOps) tokens(ctx context.Context, in *rpc.ACLTokenListRequest) (*rpc.ACLTokensReply, error) {
	out := new(rpc.ACLTokensReply)
	return out, s.look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		now := s.store.State().ACLs(ws)
		index, all := now.Tokens()
		hide, clock := s.hides(in.Target), time.Now()
		out.Tokens = nil
		for _, t := range all {
			if !t.Expired(clock) && in.Wants(t) {
				out.Tokens = append(out.Tokens, hide(named(t, now)))
			}
		}
		return index, nil
	})
}

// linked judges what a token or role grants, and gives the links IDs and names.
func linked(policies, roles *[]acl.Link, services []acl.ServiceIdentity, nodes []acl.NodeIdentity, templated []acl.TemplatedPolicy, now state.ACLs) error {
	var all []acl.Link
	for _, l := range *policies {
		p := now.FindPolicy(l.ID)
		switch {
		case l.ID != "" && p == nil:
			return fault.Newf(fault.Invalid, "No such ACL policy with ID %q", l.ID)
		case l.ID == "":
			if p = now.PolicyNamed(l.Name); p == nil {
				return fault.Newf(fault.Invalid, "No such ACL policy with name %q", l.Name)
			}
		}
		all = append(all, acl.Link{ID: p.ID, Name: p.Name})
	}
	*policies, all = once(all), nil
	for _, l := range *roles {
		r := now.FindRole(l.ID)
		switch {
		case l.ID != "" && r == nil:
			return fault.Newf(fault.Invalid, "No such ACL role with ID %q", l.ID)
		case l.ID == "":
			if r = now.RoleNamed(l.Name); r == nil {
				return fault.Newf(fault.Invalid, "No such ACL role with name %q", l.Name)
			}
		}
		all = append(all, acl.Link{ID: r.ID, Name: r.Name})
	}
	*roles = once(all)
	return identities(services, nodes, templated)
}

// identities judges what is granted without a policy.
func identities(services []acl.ServiceIdentity, nodes []acl.NodeIdentity, templated []acl.TemplatedPolicy) error {
	var err error
	for i := range services {
		err = errors.Join(err, services[i].Validate())
	}
	for i := range nodes {
		err = errors.Join(err, nodes[i].Validate())
	}
	for i := range templated {
		err = errors.Join(err, templated[i].Validate())
		if t, ok := acl.FindTemplate(templated[i].TemplateName); ok {
			templated[i].TemplateID = t.ID
		}
	}
	if err != nil {
		return fault.With(fault.Invalid, err)
	}
	return nil
}

// once leaves each link once.
func once(links []acl.Link) (out []acl.Link) {
	for _, l := range links {
		if !slices.ContainsFunc(out, func(o acl.Link) bool { return strings.EqualFold(o.ID, l.ID) }) {
			out = append(out, l)
		}
	}
	return out
}
