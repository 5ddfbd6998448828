package vet

import (
	"context"
	"sync"
	"time"

	"consul.internal/acl"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store"
	"consul.internal/store/state"
	"consul.internal/view"
	"github.com/hashicorp/go-memdb"
)

const (
	// maxBearers bounds the decisions that are kept; far more tokens than are in use at once.
	maxBearers = 4096
	// expiryCheck is how often it is looked whether tokens have ended by time: their
	// views shall end within a second.
	expiryCheck = 500 * time.Millisecond
	// expiryMost bounds that look: more than that many are taken away in the meantime.
	expiryMost = 500
)

// Config says how access is controlled.
type Config struct {
	acl.Options
	Enabled    bool
	Datacenter string
}

// Rights tells who bears which token, by the state as it is now.
type Rights struct {
	cfg     Config
	store   *store.Store
	primary *acl.Resolver // nil: the state has all tokens
	decided decided
	open    *acl.Bearer // everybody where there is no access control; it is never changed
}

// NewRights makes a Rights. primary knows the tokens that the state does not have; it
// may be nil.
func NewRights(cfg Config, s *store.Store, primary *acl.Resolver) *Rights {
	return &Rights{cfg: cfg, store: s, primary: primary, open: acl.Unguarded()}
}

// Bearer is who makes a request.
type Bearer struct {
	Token *acl.Token
	Auth  *acl.Authorizer
	Rules string // stands for what Auth allows
}

func (b *Bearer) who() *acl.Bearer {
	return &acl.Bearer{Authorizer: b.Auth, Accessor: b.Token.AccessorID, Ends: b.Token.ExpirationTime}
}

// decided are the decisions that follow from one state of the ACLs.
type decided struct {
	mu    sync.Mutex
	stamp state.ACLStamp
	of    map[string]*Bearer // by secret
}

func (c *decided) get(stamp state.ACLStamp, secret string) *Bearer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stamp != stamp {
		return nil
	}
	return c.of[secret]
}

func (c *decided) put(stamp state.ACLStamp, secret string, b *Bearer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stamp != c.stamp || c.of == nil {
		c.stamp, c.of = stamp, map[string]*Bearer{}
	}
	if len(c.of) >= maxBearers {
		for old := range c.of { // any of them, and more than one, since that looks at many
			if delete(c.of, old); len(c.of) <= maxBearers*7/8 {
				break
			}
		}
	}
	c.of[secret] = b
}

// Bearer is who has a secret, as the state has it now. That a token is gone, has
// ended or has been given other rights counts at once.
func (r *Rights) Bearer(secret string) (*Bearer, error) {
	if secret == "" {
		secret = acl.AnonymousSecret
	}
	now := r.store.State().ACLs(nil)
	stamp := now.Stamp()
	b := r.decided.get(stamp, secret)
	if b == nil {
		token := now.TokenBySecret(secret)
		switch {
		case token == nil && r.primary != nil:
			return r.foreign(secret)
		case token == nil && secret == acl.AnonymousSecret:
			token = acl.Anonymous()
		case token == nil:
			return nil, acl.ErrNoToken()
		}
		grants := token.Grants(now)
		auth, err := grants.Authorizer(r.cfg.Datacenter, r.cfg.Options)
		if err != nil {
			return nil, fault.Newf(fault.Denied, "token with AccessorID '%s' cannot be judged: %w", token.AccessorID, err)
		}
		b = &Bearer{token, auth, grants.Sum(r.cfg.Datacenter)}
		r.decided.put(stamp, secret, b)
	}
	if b.Token.Expired(time.Now()) {
		return nil, acl.ErrNoToken()
	}
	return b, nil
}

// foreign is who has a secret that only the primary datacenter knows.
func (r *Rights) foreign(secret string) (*Bearer, error) {
	b, err := r.primary.Who(context.Background(), secret) // which bounds its wait itself
	if err != nil {
		return nil, err
	}
	return &Bearer{&acl.Token{AccessorID: b.Accessor, SecretID: secret, ExpirationTime: b.Ends}, b.Authorizer, b.Rules}, nil
}

// Who is who has a secret, for the doors of this server's own agent.
func (r *Rights) Who(_ context.Context, secret string) (*acl.Bearer, error) {
	b, err := r.Bearer(secret)
	if err != nil {
		return nil, err
	}
	return b.who(), nil
}

// trustKey marks what this process does on its own account.
type trustKey struct{}

// Trusted marks what is done with ctx as done on this process' own account, for which
// no token is asked. The mark goes no further than the process.
func Trusted(ctx context.Context) context.Context { return context.WithValue(ctx, trustKey{}, true) }

// Sight is what the target's token lets somebody see and do. A token that is not
// known is an error. Where there is no access control, all is allowed.
func (r *Rights) Sight(ctx context.Context, t rpc.Target) (*Sight, error) {
	if trusted, _ := ctx.Value(trustKey{}).(bool); trusted || !r.cfg.Enabled {
		return &Sight{Bearer: r.open}, nil
	}
	b, err := r.Bearer(t.Token)
	if err != nil {
		return nil, err
	}
	return &Sight{Bearer: b.who()}, nil
}

// May refuses what the target's token may not do.
func (r *Rights) May(ctx context.Context, t rpc.Target, what acl.Resource, name string, want acl.Access) error {
	v, err := r.Sight(ctx, t)
	if err != nil {
		return err
	}
	return v.Need(what, name, want)
}

// Changer judges the change that somebody asks for. It is judged where it is made, at
// the leader: another server may not know yet what was granted a moment ago.
func (r *Rights) Changer(ctx context.Context, t rpc.Target) (Vet, error) {
	switch {
	case !r.cfg.Enabled || r.store.IsLeader():
	case r.store.LeaderID() == "":
		return Vet{}, fault.Newf(fault.NoLeader, "No cluster leader")
	default:
		return Vet{}, fault.Newf(fault.NotLeader, "this server is not the leader")
	}
	v, err := r.Sight(ctx, t)
	return r.Vet(v), err
}

// Vet judges by the state as it is now.
func (r *Rights) Vet(v *Sight) Vet { return Vet{v, r.store.State(), r.cfg.KeyListPolicy} }

// MayWrite refuses a change that the target's token may not make.
func (r *Rights) MayWrite(ctx context.Context, t rpc.Target, what acl.Resource, name string) error {
	v, err := r.Changer(ctx, t)
	if err != nil {
		return err
	}
	return v.Need(what, name, acl.Write)
}

// Judge tells what the bearer of a secret may see of the names of this datacenter.
// It implements view.Judge.
func (r *Rights) Judge(_ context.Context, secret string) (view.Sight, error) {
	if !r.cfg.Enabled {
		return view.Sight{}, nil
	}
	b, err := r.Bearer(secret)
	if err != nil {
		return view.Sight{}, err
	}
	return names(b.Auth, b.Rules), nil
}

// WatchACLs calls changed now and after every change of what tokens may do, until
// ctx ends; that a token ends by time is such a change. It calls often twice a second
// besides, for what may change without the log.
func (r *Rights) WatchACLs(ctx context.Context, changed, often func(context.Context)) {
	if !r.cfg.Enabled {
		return
	}
	var last state.ACLStamp
	var tokens uint64
	ended, changedAt := -1, time.Now()
	for ctx.Err() == nil {
		ws := memdb.NewWatchSet()
		now := r.store.State().ACLs(ws)
		stamp, gone := now.Stamp(), len(now.Expired(time.Now(), expiryMost))
		// Of the primary's tokens no log tells: they are asked for again when their time is over.
		asked := r.primary != nil && time.Since(changedAt) >= max(r.primary.TTL(), expiryCheck)
		if newest := now.TokenIndex(); stamp != last || newest != tokens || gone != ended || asked {
			last, tokens, ended, changedAt = stamp, newest, gone, time.Now()
			changed(ctx)
		}
		often(ctx)
		wait, cancel := context.WithTimeout(ctx, expiryCheck)
		_ = ws.WatchCtx(wait) // whatever it says, the state is looked at
		cancel()
	}
}
