package server

import (
	"context"
	"time"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// resolve tells an agent, or a server of another datacenter, what a token may do.
// Any server answers, so that agents go on while nobody leads.
func (s aclOps) resolve(ctx context.Context, in *rpc.ACLResolveRequest) (*rpc.ACLResolveReply, error) {
	if !s.cfg.ACL.Enabled {
		return nil, fault.Newf(fault.Unavailable, "ACLs are enabled on an agent, but not on its servers: set acl.enabled everywhere")
	}
	if err := s.here(in.Target); err != nil {
		return nil, err
	}
	secret := in.Token
	if secret == "" {
		secret = acl.AnonymousSecret
	}
	now := s.store.State().ACLs(nil)
	token := now.TokenBySecret(secret)
	switch {
	case token == nil && s.deps.Primary != nil && !in.Abroad:
		said, err := s.deps.Primary.Said(ctx, secret)
		if err != nil {
			return nil, err
		}
		return &rpc.ACLResolveReply{Resolved: *said}, nil
	case token == nil && secret == acl.AnonymousSecret:
		token = acl.Anonymous()
	case token == nil, token.Expired(time.Now()), in.Abroad && token.Local:
		return nil, fault.Newf(fault.NotFound, "ACL not found")
	}
	return &rpc.ACLResolveReply{Resolved: acl.Resolved{
		Accessor: token.AccessorID, Ends: token.ExpirationTime, Policies: token.Grants(now).Policies,
	}}, nil
}

// primaryTimeout bounds a question to the primary datacenter about a token: a round
// trip across the world, and who waits for more than that gives up.
const primaryTimeout = 2 * time.Second

// AskPrimary asks the primary datacenter what a token may do.
func AskPrimary(remote rpc.Caller, primary string) acl.Ask {
	return func(ctx context.Context, secret string) (*acl.Resolved, error) {
		ctx, cancel := context.WithTimeout(ctx, primaryTimeout)
		defer cancel()
		out, err := rpc.Call(ctx, remote, rpc.ACLResolve, &rpc.ACLResolveRequest{
			Target: rpc.Target{Datacenter: primary, Token: secret}, Abroad: true,
		})
		if err != nil {
			return nil, err
		}
		return &out.Resolved, nil
	}
}
