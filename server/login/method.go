package login

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/go-uuid"

	"consul.internal/acl"
	"consul.internal/acl/idtoken"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store/fsm"
)

// methodName is what names may be, as documented.
var methodName = regexp.MustCompile(`^[A-Za-z0-9\-_]{1,128}$`)

// SetMethod creates or replaces an auth method.
func (o *Ops) SetMethod(ctx context.Context, in *rpc.ACLMethodSetRequest) (*rpc.ACLMethodReply, error) {
	if err := o.deps.MayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	m := in.Set
	cfg, err := o.judgeMethod(&m, in.Update)
	if err != nil {
		return nil, err
	}
	v, err := idtoken.New(cfg)
	if err == nil {
		err = v.Reach(ctx)
	}
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: %w", err)
	}
	if err := o.change(ctx, &fsm.ChangeLogin{Method: &m}); err != nil {
		return nil, err
	}
	return &rpc.ACLMethodReply{Method: o.acls().Method(m.Name)}, nil
}

// judgeMethod finds a method right, and gives what it leaves out what it has.
func (o *Ops) judgeMethod(m *acl.AuthMethod, update bool) (*idtoken.Config, error) {
	old := o.acls().Method(m.Name)
	switch {
	case m.Name == "":
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: no Name is set")
	case !methodName.MatchString(m.Name):
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
	case old != nil && m.Type == "" && update:
		m.Type = old.Type
	}
	switch {
	case old != nil && m.Type != old.Type:
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: changing the type is not permitted: it is %q", old.Type)
	case update && old == nil:
		return nil, fault.Newf(fault.NotFound, "Requested auth method does not exist: ACL not found")
	case m.Type == acl.MethodJWT:
	case m.Type == acl.MethodKubernetes, m.Type == acl.MethodAWS:
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: type %q is not part of this version: let the platform's service account tokens be judged by a method of type \"jwt\"", m.Type)
	case m.Type == acl.MethodOIDC:
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: type \"oidc\" is not part of the free product: use \"jwt\" with the ID tokens of the same provider")
	default:
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: Type should be one of: [aws-iam jwt kubernetes]")
	}
	switch {
	case m.MaxTokenTTL != 0 && (m.MaxTokenTTL < o.deps.ShortestToken || m.MaxTokenTTL > o.deps.LongestToken):
		return nil, fault.Newf(fault.Invalid, "MaxTokenTTL %s must be between %s and %s", m.MaxTokenTTL, o.deps.ShortestToken, o.deps.LongestToken)
	case !slices.Contains([]string{"", acl.LocalTokens, acl.GlobalTokens}, m.TokenLocality):
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: TokenLocality should be one of 'local' or 'global'")
	case m.TokenLocality == acl.GlobalTokens && o.deps.Primary != o.deps.Datacenter:
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: TokenLocality 'global' can only be used in the primary datacenter")
	}
	if old != nil {
		m.Name = old.Name // as it was spelt first: tokens and rules name it so
	}
	cfg, err := idtoken.ReadConfig(m.Config)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "Invalid Auth Method: %w", err)
	}
	return cfg, nil
}

// DeleteMethod takes an auth method away, with its rules and tokens.
func (o *Ops) DeleteMethod(ctx context.Context, in *rpc.ACLDeleteRequest) (*rpc.Empty, error) {
	if err := o.deps.MayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	if o.acls().Method(in.ID) == nil {
		return nil, fault.Newf(fault.NotFound, "Requested auth method does not exist: ACL not found")
	}
	return new(rpc.Empty), o.change(ctx, &fsm.ChangeLogin{DeleteMethod: in.ID})
}

// Method reads an auth method by name.
func (o *Ops) Method(ctx context.Context, in *rpc.ACLGetRequest) (*rpc.ACLMethodReply, error) {
	out := new(rpc.ACLMethodReply)
	return out, o.deps.Look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		now := o.deps.Store.State().ACLs(ws)
		index, _ := now.Methods()
		if out.Method = now.Method(in.Name); out.Method == nil {
			return 0, fault.Newf(fault.NotFound, "Requested auth method does not exist: ACL not found")
		}
		return index, nil
	})
}

// Methods reads all auth methods.
func (o *Ops) Methods(ctx context.Context, in *rpc.ACLListRequest) (*rpc.ACLMethodsReply, error) {
	out := new(rpc.ACLMethodsReply)
	return out, o.deps.Look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (index uint64, _ error) {
		index, out.Methods = o.deps.Store.State().ACLs(ws).Methods()
		return index, nil
	})
}

// SetBinding creates or replaces a binding rule.
func (o *Ops) SetBinding(ctx context.Context, in *rpc.ACLBindingSetRequest) (*rpc.ACLBindingReply, error) {
	if err := o.deps.MayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	b := in.Set
	if err := o.judgeBinding(&b); err != nil {
		return nil, err
	}
	if err := o.change(ctx, &fsm.ChangeLogin{Binding: &b}); err != nil {
		return nil, err
	}
	return &rpc.ACLBindingReply{Rule: o.acls().Binding(b.ID)}, nil
}

// judgeBinding finds a rule right, and gives a new one its ID.
func (o *Ops) judgeBinding(b *acl.BindingRule) error {
	now := o.acls()
	if b.ID != "" {
		old := now.Binding(b.ID)
		switch {
		case old == nil:
			return fault.Newf(fault.NotFound, "cannot find binding rule %s", b.ID)
		case b.AuthMethod == "":
			b.AuthMethod = old.AuthMethod
		case !strings.EqualFold(b.AuthMethod, old.AuthMethod):
			return fault.Newf(fault.Invalid, "the AuthMethod field of a Binding Rule is immutable")
		}
		b.ID = old.ID
	}
	if b.AuthMethod == "" {
		return fault.Newf(fault.Invalid, "Invalid Binding Rule: no AuthMethod is set")
	}
	m := now.Method(b.AuthMethod)
	if m == nil {
		return fault.Newf(fault.Invalid, "cannot find auth method with name %q", b.AuthMethod)
	}
	j, err := o.judgeOf(m)
	if err != nil {
		return err
	}
	b.AuthMethod = m.Name
	if err := b.Validate(j.config.Values()); err != nil {
		return fault.With(fault.Invalid, err)
	}
	if b.ID == "" {
		if b.ID, err = uuid.GenerateUUID(); err != nil {
			return fault.Newf(fault.Unavailable, "no random numbers: %w", err)
		}
	}
	return nil
}

// DeleteBinding takes a binding rule away.
func (o *Ops) DeleteBinding(ctx context.Context, in *rpc.ACLDeleteRequest) (*rpc.Empty, error) {
	if err := o.deps.MayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	if o.acls().Binding(in.ID) == nil {
		return nil, fault.Newf(fault.NotFound, "Requested binding rule does not exist: ACL not found")
	}
	return new(rpc.Empty), o.change(ctx, &fsm.ChangeLogin{DeleteBinding: in.ID})
}

// Binding reads a binding rule.
func (o *Ops) Binding(ctx context.Context, in *rpc.ACLGetRequest) (*rpc.ACLBindingReply, error) {
	out := new(rpc.ACLBindingReply)
	return out, o.deps.Look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		now := o.deps.Store.State().ACLs(ws)
		index, _ := now.Bindings("")
		if out.Rule = now.Binding(in.ID); out.Rule == nil {
			return 0, fault.Newf(fault.NotFound, "Requested binding rule does not exist: ACL not found")
		}
		return index, nil
	})
}

// Bindings reads the binding rules of a method, or all.
func (o *Ops) Bindings(ctx context.Context, in *rpc.ACLBindingListRequest) (*rpc.ACLBindingsReply, error) {
	out := new(rpc.ACLBindingsReply)
	return out, o.deps.Look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (index uint64, _ error) {
		index, out.Rules = o.deps.Store.State().ACLs(ws).Bindings(in.AuthMethod)
		return index, nil
	})
}
