package login

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/go-uuid"

	"consul.internal/acl"
	"consul.internal/acl/idtoken"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
)

// Deps is what the operations work on, and what those of server have in common.
type Deps struct {
	Store               *store.Store
	Datacenter, Primary string
	// MayLead makes sure that a change is for this datacenter and this server leads,
	// so that it judges by the last state.
	MayLead func(context.Context, rpc.Target) error
	// MayChange does that, and makes sure that the token may change ACLs.
	MayChange func(context.Context, rpc.Target) error
	// Look performs a read, which takes acl:read.
	Look func(context.Context, *rpc.ReadOptions, *rpc.ReadMeta, func(memdb.WatchSet) (uint64, error)) error
	// Elsewhere has the primary datacenter log out, if it is another one.
	Elsewhere func(context.Context, *rpc.ACLLogoutRequest) (bool, error)
	// Shown is a token as it is after a change of it.
	Shown func(accessor string) (*rpc.ACLTokenReply, error)
	// ShortestToken and LongestToken bound the life of a token that ends.
	ShortestToken, LongestToken time.Duration
	// HoldTime is how long an entry of the log is waited for.
	HoldTime time.Duration
}

// Ops are the operations.
type Ops struct {
	deps Deps

	mu    sync.Mutex
	known map[string]judge // by name of the method
}

// judge is who judges tokens for a method, as that was at an index.
type judge struct {
	index     uint64
	validator *idtoken.Validator
	config    *idtoken.Config
}

// New makes them.
func New(d Deps) *Ops { return &Ops{deps: d, known: map[string]judge{}} }

func (o *Ops) acls() state.ACLs { return o.deps.Store.State().ACLs(nil) }

func (o *Ops) change(ctx context.Context, c *fsm.ChangeLogin) error {
	ctx, cancel := context.WithTimeout(ctx, o.deps.HoldTime)
	defer cancel()
	_, _, err := store.Apply(ctx, o.deps.Store, fsm.TypeLogin, c)
	return err
}

// judgeOf is who judges tokens for a method.
func (o *Ops) judgeOf(m *acl.AuthMethod) (judge, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if j, ok := o.known[m.Name]; ok && j.index == m.ModifyIndex {
		return j, nil
	}
	cfg, err := idtoken.ReadConfig(m.Config)
	if err != nil {
		return judge{}, fault.Newf(fault.Invalid, "auth method %q: %w", m.Name, err)
	}
	v, err := idtoken.New(cfg)
	if err != nil {
		return judge{}, fault.Newf(fault.Invalid, "auth method %q: %w", m.Name, err)
	}
	now := o.acls()
	for name := range o.known { // those of methods that are no more
		if now.Method(name) == nil {
			delete(o.known, name)
		}
	}
	o.known[m.Name] = judge{m.ModifyIndex, v, cfg}
	return o.known[m.Name], nil
}

const (
	// What of a login is shown is bounded as what nodes say of themselves is.
	maxMeta      = 64
	maxMetaKey   = 128
	maxMetaValue = 512
)

// describe is the description of a token that somebody gets.
func describe(meta map[string]string) (string, error) {
	const text = "token created via login"
	if len(meta) == 0 {
		return text, nil
	}
	if len(meta) > maxMeta {
		return "", fault.Newf(fault.Invalid, "a login can have at most %d pairs of Meta", maxMeta)
	}
	for k, v := range meta {
		if len(k) > maxMetaKey || len(v) > maxMetaValue {
			return "", fault.Newf(fault.Invalid, "Meta: a key can have %d bytes, a value %d", maxMetaKey, maxMetaValue)
		}
	}
	shown, err := json.Marshal(meta)
	return text + ": " + string(shown), err
}

// Login gives a token to who proves who he is.
func (o *Ops) Login(ctx context.Context, in *rpc.ACLLoginRequest) (*rpc.ACLTokenReply, error) {
	if err := o.deps.MayLead(ctx, in.Target); err != nil {
		return nil, err
	}
	if in.Token != "" {
		return nil, fault.Newf(fault.Invalid, "do not provide a token when logging in")
	}
	m := o.acls().Method(in.AuthMethod)
	if m == nil {
		return nil, fault.Newf(fault.Denied, "ACL not found: auth method %q not found", in.AuthMethod)
	}
	j, err := o.judgeOf(m)
	if err != nil {
		return nil, err
	}
	proven, err := j.validator.Prove(ctx, in.BearerToken)
	if err != nil {
		return nil, fault.With(fault.Invalid, err)
	}
	t, err := o.granted(m, proven)
	if err != nil {
		return nil, err
	}
	if t.Description, err = describe(in.Meta); err != nil {
		return nil, err
	}
	for _, id := range []*string{&t.AccessorID, &t.SecretID} {
		if *id, err = uuid.GenerateUUID(); err != nil {
			return nil, fault.Newf(fault.Unavailable, "no random numbers: %w", err)
		}
	}
	t.CreateTime = time.Now().UTC().Truncate(time.Second) // what the log keeps
	if m.MaxTokenTTL > 0 {
		end := t.CreateTime.Add(m.MaxTokenTTL).Truncate(time.Second)
		t.ExpirationTime = &end
	}
	t.Seal()
	if err := o.change(ctx, &fsm.ChangeLogin{Token: t, MethodIndex: m.ModifyIndex}); err != nil {
		return nil, err
	}
	return o.deps.Shown(t.AccessorID)
}

// granted is a token with all that the rules of a method grant to who proved p. Who
// is granted nothing gets no token.
func (o *Ops) granted(m *acl.AuthMethod, p *acl.Proven) (*acl.Token, error) {
	now := o.acls()
	t := &acl.Token{AuthMethod: m.Name, Local: m.TokenLocality != acl.GlobalTokens}
	named := &acl.Token{}
	_, rules := now.Bindings(m.Name)
	for _, rule := range rules {
		if err := rule.Bind(named, p, o.deps.Datacenter); err != nil {
			return nil, fault.With(fault.Invalid, err)
		}
	}
	t.ServiceIdentities, t.NodeIdentities, t.TemplatedPolicies = named.ServiceIdentities, named.NodeIdentities, named.TemplatedPolicies
	// Policies and roles that are not there grant nothing, as documented.
	seen := map[acl.Link]bool{}
	for _, l := range named.Policies {
		if found := now.PolicyNamed(l.Name); found != nil && !seen[acl.Link{ID: found.ID}] {
			seen[acl.Link{ID: found.ID}] = true
			t.Policies = append(t.Policies, acl.Link{ID: found.ID, Name: found.Name})
		}
	}
	clear(seen)
	for _, l := range named.Roles {
		if found := now.RoleNamed(l.Name); found != nil && !seen[acl.Link{ID: found.ID}] {
			seen[acl.Link{ID: found.ID}] = true
			t.Roles = append(t.Roles, acl.Link{ID: found.ID, Name: found.Name})
		}
	}
	if len(t.ServiceIdentities)+len(t.NodeIdentities)+len(t.TemplatedPolicies)+len(t.Policies)+len(t.Roles) == 0 {
		return nil, fault.Newf(fault.Denied, "Permission denied")
	}
	return t, nil
}

// Logout takes the request's own token away.
func (o *Ops) Logout(ctx context.Context, in *rpc.ACLLogoutRequest) (*rpc.Empty, error) {
	t := o.acls().TokenBySecret(in.Token)
	if t == nil || !t.Local {
		if done, err := o.deps.Elsewhere(ctx, in); done {
			return new(rpc.Empty), err
		}
	}
	if err := o.deps.MayLead(ctx, in.Target); err != nil {
		return nil, err
	}
	t = o.acls().TokenBySecret(in.Token)
	switch {
	case in.Token == "" || t == nil || t.Expired(time.Now()):
		return nil, acl.ErrNoToken()
	case t.AuthMethod == "":
		return nil, fault.Newf(fault.Denied, "Permission denied: token wasn't created via login")
	}
	c := &fsm.ChangeACL{DeleteTokens: []string{t.AccessorID}}
	ctx, cancel := context.WithTimeout(ctx, o.deps.HoldTime)
	defer cancel()
	if _, _, err := store.Apply(ctx, o.deps.Store, fsm.TypeACL, c); err != nil {
		return nil, fmt.Errorf("log out: %w", err)
	}
	return new(rpc.Empty), nil
}
