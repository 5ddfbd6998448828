package server

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store/fsm"
	"github.com/hashicorp/go-memdb"
)

// The names that policies and roles may have, as documented.
var (
	policyName = regexp.MustCompile(`^[A-Za-z0-9\-_]{1,128}(/[A-Za-z0-9\-_]{1,128})?$`)
	roleName   = regexp.MustCompile(`^[A-Za-z0-9\-_]{1,256}$`)
)

func (s aclOps) setPolicy(ctx context.Context, in *rpc.ACLPolicySetRequest) (*rpc.ACLPolicyReply, error) {
	if out, done, err := elsewhere(ctx, s, &in.ACLWrite, rpc.ACLPolicySet, in); done {
		return out, err
	}
	if err := s.mayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	p := in.Set
	if err := s.judgePolicy(&p); err != nil {
		return nil, err
	}
	p.Seal()
	if err := s.change(ctx, &fsm.ChangeACL{Policies: []*acl.Policy{&p}}); err != nil {
		return nil, err
	}
	return &rpc.ACLPolicyReply{Policy: s.store.State().ACLs(nil).FindPolicy(p.ID)}, nil
}

// judgePolicy finds a policy right, and gives a new one its ID.
func (s aclOps) judgePolicy(p *acl.Policy) error {
	now := s.store.State().ACLs(nil)
	old := now.FindPolicy(p.ID)
	switch {
	case p.Name == "":
		return fault.Newf(fault.Invalid, "Invalid Policy: no Name is set")
	case !policyName.MatchString(p.Name):
		return fault.Newf(fault.Invalid, "Invalid Policy: invalid Name. Only alphanumeric characters, a single '/', '-' and '_' are allowed")
	case p.ID != "" && old == nil:
		return fault.Newf(fault.Invalid, "cannot find policy %s", p.ID)
	case strings.HasPrefix(p.Name, "builtin/") && (old == nil || old.Name != p.Name):
		return fault.Newf(fault.Invalid, "Invalid Policy: names that begin with \"builtin/\" are kept for policies that come with this program")
	case acl.IsBuiltin(p.ID) && (p.Rules != old.Rules && p.Rules != "" || len(p.Datacenters) > 0):
		return fault.Newf(fault.Invalid, "Changing the Rules or Datacenters of the builtin %s policy is not permitted", old.Name)
	}
	if other := now.PolicyNamed(p.Name); other != nil && !strings.EqualFold(other.ID, p.ID) {
		return fault.Newf(fault.Conflict, "Invalid Policy: A Policy with Name %q already exists", p.Name)
	}
	if acl.IsBuiltin(p.ID) {
		p.Rules = old.Rules
	}
	if _, err := acl.Parse(p.Rules); err != nil {
		return fault.Newf(fault.Invalid, "Failed to parse ACL rules: %w", err)
	}
	if p.ID != "" {
		p.ID = old.ID
		return nil
	}
	var err error
	p.ID, err = uuid4()
	return err
}

func (s aclOps) deletePolicy(ctx context.Context, in *rpc.ACLDeleteRequest) (*rpc.Empty, error) {
	if out, done, err := elsewhere(ctx, s, &in.ACLWrite, rpc.ACLPolicyDelete, in); done {
		return out, err
	}
	if err := s.mayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	old := s.store.State().ACLs(nil).FindPolicy(in.ID)
	switch {
	case old == nil:
		return nil, fault.Newf(fault.NotFound, "Cannot find policy to delete")
	case acl.IsBuiltin(old.ID):
		return nil, fault.Newf(fault.Invalid, "Delete operation not permitted on the builtin %s policy", old.Name)
	}
	return new(rpc.Empty), s.change(ctx, &fsm.ChangeACL{DeletePolicies: []string{old.ID}})
}

func (s aclOps) policy(ctx context.Context, in *rpc.ACLGetRequest) (*rpc.ACLPolicyReply, error) {
	out := new(rpc.ACLPolicyReply)
	return out, s.look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		now := s.store.State().ACLs(ws)
		index, _ := now.Policies()
		if in.ID != "" {
			out.Policy = now.FindPolicy(in.ID)
		} else {
			out.Policy = now.PolicyNamed(in.Name)
		}
		if out.Policy == nil {
			return 0, fault.Newf(fault.NotFound, "Requested policy does not exist: ACL not found")
		}
		return index, nil
	})
}

func (s aclOps) policies(ctx context.Context, in *rpc.ACLListRequest) (*rpc.ACLPoliciesReply, error) {
	out := new(rpc.ACLPoliciesReply)
	return out, s.look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (index uint64, _ error) {
		index, out.Policies = s.store.State().ACLs(ws).Policies()
		return index, nil
	})
}

func (s aclOps) setRole(ctx context.Context, in *rpc.ACLRoleSetRequest) (*rpc.ACLRoleReply, error) {
	if out, done, err := elsewhere(ctx, s, &in.ACLWrite, rpc.ACLRoleSet, in); done {
		return out, err
	}
	if err := s.mayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	r := in.Set
	if err := s.judgeRole(&r); err != nil {
		return nil, err
	}
	r.Seal()
	if err := s.change(ctx, &fsm.ChangeACL{Roles: []*acl.Role{&r}}); err != nil {
		return nil, err
	}
	now := s.store.State().ACLs(nil)
	written := now.FindRole(r.ID)
	if written == nil {
		return nil, fault.Newf(fault.Unknown, "the role was written, but is not there any more")
	}
	shown := *written
	shown.Policies = namedPolicies(written.Policies, now)
	return &rpc.ACLRoleReply{Role: &shown}, nil
}

// judgeRole finds a role right, and gives a new one its ID.
func (s aclOps) judgeRole(r *acl.Role) error {
	now := s.store.State().ACLs(nil)
	old := now.FindRole(r.ID)
	switch {
	case r.Name == "":
		return fault.Newf(fault.Invalid, "Invalid Role: no Name is set")
	case !roleName.MatchString(r.Name):
		return fault.Newf(fault.Invalid, "Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
	case r.ID != "" && old == nil:
		return fault.Newf(fault.Invalid, "cannot find role %s", r.ID)
	}
	if other := now.RoleNamed(r.Name); other != nil && !strings.EqualFold(other.ID, r.ID) {
		return fault.Newf(fault.Conflict, "Invalid Role: A Role with Name %q already exists", r.Name)
	}
	if err := linked(&r.Policies, new([]acl.Link), r.ServiceIdentities, r.NodeIdentities, r.TemplatedPolicies, now); err != nil {
		return err
	}
	if r.ID != "" {
		r.ID = old.ID
		return nil
	}
	var err error
	r.ID, err = uuid4()
	return err
}

func (s aclOps) deleteRole(ctx context.Context, in *rpc.ACLDeleteRequest) (*rpc.Empty, error) {
	if out, done, err := elsewhere(ctx, s, &in.ACLWrite, rpc.ACLRoleDelete, in); done {
		return out, err
	}
	if err := s.mayChange(ctx, in.Target); err != nil {
		return nil, err
	}
	old := s.store.State().ACLs(nil).FindRole(in.ID)
	if old == nil {
		return nil, fault.Newf(fault.NotFound, "Cannot find role to delete")
	}
	return new(rpc.Empty), s.change(ctx, &fsm.ChangeACL{DeleteRoles: []string{old.ID}})
}

func (s aclOps) role(ctx context.Context, in *rpc.ACLGetRequest) (*rpc.ACLRoleReply, error) {
	out := new(rpc.ACLRoleReply)
	return out, s.look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		now := s.store.State().ACLs(ws)
		index, _ := now.Roles()
		role := now.FindRole(in.ID)
		if in.ID == "" {
			role = now.RoleNamed(in.Name)
		}
		if role == nil {
			return 0, fault.Newf(fault.NotFound, "Requested role does not exist: ACL not found")
		}
		shown := *role
		shown.Policies = namedPolicies(role.Policies, now)
		out.Role = &shown
		return index, nil
	})
}

func (s aclOps) roles(ctx context.Context, in *rpc.ACLListRequest) (*rpc.ACLRolesReply, error) {
	out := new(rpc.ACLRolesReply)
	return out, s.look(ctx, &in.ReadOptions, &out.ReadMeta, func(ws memdb.WatchSet) (uint64, error) {
		now := s.store.State().ACLs(ws)
		index, all := now.Roles()
		out.Roles = nil
		for _, r := range all {
			shown := *r
			shown.Policies = namedPolicies(r.Policies, now)
			if in.Policy == "" || slices.ContainsFunc(shown.Policies, func(l acl.Link) bool { return strings.EqualFold(l.ID, in.Policy) }) {
				out.Roles = append(out.Roles, &shown)
			}
		}
		return index, nil
	})
}
