package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"consul.internal/acl"
	"consul.internal/agent/tokens"
	"consul.internal/configs"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/durable"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/view"
	"go.uber.org/zap"
)

// bootstrapReset is the file in the data directory in which a person writes the
// index that allows another bootstrap.
const bootstrapReset = "acl-bootstrap-reset"

// takeReset reads that file and takes it away, so that it counts once; 0 = there is none.
func takeReset(d *Daemon) uint64 {
	if d.settings.Paths.DataDir == "" {
		return 0
	}
	path := filepath.Join(d.settings.Paths.DataDir, bootstrapReset)
	text, err := os.ReadFile(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.log.Error("the file that allows another ACL bootstrap cannot be read", zap.String("file", path), zap.Error(err))
		}
		return 0
	}
	index, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		d.log.Error("the file that allows another ACL bootstrap does not hold the reset index, a number", zap.String("file", path))
		return 0
	}
	if err := durable.Remove(path); err != nil {
		d.log.Error("the file that allows another ACL bootstrap cannot be removed, and so does not count", zap.String("file", path), zap.Error(err))
		return 0
	}
	return index
}

// agentTokens are the tokens that the configuration gives to the agent. Whether there
// is access control is as it was at the start.
func agentTokens(enabled bool, s *configs.Settings) map[tokens.Kind]string {
	if !enabled {
		return nil // a token that means nothing here is shown to nobody
	}
	t := &s.ACL.Tokens
	return map[tokens.Kind]string{
		tokens.Default: t.Default, tokens.Agent: t.Agent, tokens.Recovery: t.AgentRecovery,
		tokens.Replication: t.Replication, tokens.DNS: t.DNS, tokens.FileService: t.ConfigFileService,
	}
}

func resolverConfig(s *configs.Settings) acl.ResolverConfig {
	return acl.ResolverConfig{
		Options:    acl.Options{DefaultAllow: s.ACL.DefaultPolicy == "allow", KeyListPolicy: s.ACL.KeyListPolicy},
		Datacenter: s.Node.Datacenter,
		// Token, policies and roles come in one answer, so that the shortest of their times holds for it.
		TTL:        min(s.ACL.TokenTTL, s.ACL.PolicyTTL, s.ACL.RoleTTL),
		DownPolicy: s.ACL.DownPolicy,
	}
}

// replicatedSoon is how long the primary's word counts for a token that is not here
// where tokens are copied: the copy comes within that time, or the token was deleted
// since, and then what was said of it must not live on. With the round trip of asking
// again that is less than a second.
const replicatedSoon = 500 * time.Millisecond

// primaryTokens asks the primary datacenter for tokens that are not here; nil on
// its own servers.
func primaryTokens(d *Daemon) (*acl.Resolver, error) {
	s := d.settings
	if !s.ACL.Enabled || s.Node.PrimaryDatacenter == s.Node.Datacenter {
		return nil, nil
	}
	cfg := resolverConfig(s)
	if s.ACL.TokenReplication {
		cfg.TTL, cfg.DownPolicy = min(cfg.TTL, replicatedSoon), acl.DownDeny
	}
	r, err := acl.NewResolver(cfg, server.AskPrimary(elsewhere{d}, s.Node.PrimaryDatacenter))
	if err != nil {
		return nil, err
	}
	d.onClose("tokens of the primary datacenter", r.Close)
	return r, nil
}

// guard tells who bears a token: a server's own state knows, a client asks the servers.
type guard struct {
	tokens   *tokens.Store
	recovery *acl.Bearer // of the recovery token, which no server needs to know
	others   edge.Guard
}

func (g *guard) Who(ctx context.Context, secret string) (*acl.Bearer, error) {
	if secret != "" && g.tokens.IsRecovery(secret) {
		return g.recovery, nil
	}
	return g.others.Who(ctx, secret)
}

// newGuard makes the agent's guard, where there is access control.
func newGuard(d *Daemon) error {
	s := d.settings
	if !s.ACL.Enabled {
		return nil
	}
	rules, err := acl.Parse(fmt.Sprintf("agent %q { policy = \"write\" }\nnode_prefix \"\" { policy = \"read\" }", s.Node.Name))
	if err != nil {
		return fmt.Errorf("acl.tokens.agent_recovery: %w", err)
	}
	g := &guard{tokens: d.tokens, recovery: &acl.Bearer{
		Authorizer: acl.NewAuthorizer(rules, acl.Options{}), Accessor: "agent-recovery:" + s.Node.Name,
	}}
	d.guard = g
	if d.srv != nil {
		g.others = d.srv
		return nil
	}
	r, err := acl.NewResolver(resolverConfig(s), func(ctx context.Context, secret string) (*acl.Resolved, error) {
		out, err := rpc.Call(ctx, d.caller, rpc.ACLResolve, &rpc.ACLResolveRequest{Target: rpc.Target{Token: secret}})
		if err != nil {
			return nil, err
		}
		return &out.Resolved, nil
	})
	if err != nil {
		return err
	}
	g.others = r
	d.onClose("tokens", r.Close)
	return nil
}

// dnsTokenChanged has names followed with the DNS token as it is now.
func dnsTokenChanged(d *Daemon) {
	d.views.turn.Lock() // of two changes, the later one holds
	defer d.views.turn.Unlock()
	secret := d.tokens.DNS()
	if d.views.saved != nil {
		d.views.saved.Belong(nobody) // what comes while the names are dropped, one by one
		defer d.views.saved.Belong(ownerOf(d, secret))
	}
	if d.views.names != nil {
		view.SetSecret(d.views.names, secret)
	}
	d.views.world.SetSecret(secret)
	d.views.queries.Forget(ownerOf(d, secret))
}

// viewsDir is where names are kept beyond the end of the process; "" = nowhere.
func viewsDir(d *Daemon) string {
	if d.settings.Paths.DataDir == "" {
		return ""
	}
	return filepath.Join(d.settings.Paths.DataDir, "views")
}

const (
	// nobody and anonymous are no sums of tokens.
	nobody    = "nobody"
	anonymous = "anonymous"
)

// ownerOf tells in whose name names are kept: what was learned with one token is not
// there for another one. "" is where there is no access control.
func ownerOf(d *Daemon, secret string) string {
	switch {
	case !d.settings.ACL.Enabled:
		return ""
	case secret == "":
		return anonymous
	}
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:8]) // 64 bits tell the tokens of one agent apart
}
