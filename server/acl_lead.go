package server

import (
	"context"
	"time"

	"consul.internal/acl"
	"consul.internal/store/fsm"
	"go.uber.org/zap"
)

const (
	// reapEvery is how often tokens that ended are taken away. They stop working at
	// their end in any case; this only bounds what is kept of them.
	reapEvery = 30 * time.Second
	// reapMost tokens go in one entry of the log.
	reapMost = 500
)

// BootstrapACL is the leader's duty, in the primary datacenter, to write the
// policies and tokens that are there from the beginning.
func (s *Server) BootstrapACL(ctx context.Context) {
	if !s.cfg.ACL.Enabled || s.primary() != s.cfg.Datacenter {
		return
	}
	for warned := false; ctx.Err() == nil; {
		err := aclOps{s}.found(ctx)
		if err == nil {
			return
		}
		if !warned && ctx.Err() == nil {
			s.deps.Log.Warn("the first policies and tokens could not be written; trying again", zap.Error(err))
			warned = true
		}
		select {
		case <-time.After(replicaPause):
		case <-ctx.Done():
		}
	}
}

// found writes what is missing of the first policies and tokens.
func (s aclOps) found(ctx context.Context) error {
	if err := s.verify(ctx); err != nil {
		return err // the state may not be that of the last leader yet
	}
	now := s.store.State().ACLs(nil)
	c := &fsm.ChangeACL{}
	for _, p := range acl.Builtin() {
		if now.FindPolicy(p.ID) == nil {
			c.Policies = append(c.Policies, p)
		}
	}
	if now.Token(acl.AnonymousID) == nil {
		t := acl.Anonymous()
		if err := mint(t); err != nil {
			return err
		}
		c.Tokens = append(c.Tokens, t)
	}
	// One that the configuration names anew is made also after the bootstrap, as documented.
	if secret := s.cfg.ACL.InitialManagement; secret != "" && now.TokenBySecret(secret) == nil {
		t, err := management("Initial Management Token", secret)
		if err != nil {
			return err
		}
		if now.Bootstrapped() == 0 {
			c.Bootstrap = t
		} else {
			c.Tokens = append(c.Tokens, t)
		}
	}
	if len(c.Policies)+len(c.Tokens) == 0 && c.Bootstrap == nil {
		return nil
	}
	return s.change(ctx, c)
}

// ReapTokens is the leader's duty to take away tokens that have ended, copies of
// the primary's too.
func (s *Server) ReapTokens(ctx context.Context) {
	if !s.cfg.ACL.Enabled {
		return
	}
	every := time.NewTicker(reapEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
		for more := true; more && ctx.Err() == nil; {
			gone := s.store.State().ACLs(nil).Expired(time.Now(), reapMost)
			if len(gone) == 0 {
				break
			}
			more = len(gone) == reapMost
			if err := (aclOps{s}).change(ctx, &fsm.ChangeACL{DeleteTokens: gone}); err != nil && ctx.Err() == nil {
				s.deps.Log.Warn("tokens that ended could not be taken away; trying again", zap.Error(err))
				break
			}
		}
	}
}
