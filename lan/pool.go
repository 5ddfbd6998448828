package lan

import (
	"context"
	"sync"
	"time"

	"consul.internal/internal/gossip"
	"consul.internal/internal/gossip/roster"
	"go.uber.org/zap"
)

// Event is news of the datacenter.
type Event struct {
	Kind   gossip.Kind
	Member Member           // of all kinds but User and Resync
	User   gossip.UserEvent // of User
}

// Pool is this agent's part in the pool of its datacenter.
type Pool struct {
	cfg    Config
	gossip *gossip.Pool
	join   *roster.Joiner
	events chan Event

	ctx        context.Context
	cancel     context.CancelFunc
	stopJoin   context.CancelFunc
	wg         sync.WaitGroup
	closeOnce  sync.Once
	closeError error
}

// New makes a pool that does nothing yet.
func New(cfg Config, deps Deps) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Logger == nil {
		deps.Logger = zap.NewNop()
	}
	if deps.Lookup == nil {
		deps.Lookup = roster.SystemLookup
	}
	p := &Pool{cfg: cfg, events: make(chan Event)}
	var err error
	p.gossip, err = gossip.New(cfg.gossip(), gossip.Deps{Logger: deps.Logger, Check: cfg.Identity.Check, Network: deps.Network, Watches: serves})
	if err != nil {
		return nil, err
	}
	port := cfg.Gossip.Bind.Port()
	if port == 0 {
		port = DefaultPort
	}
	p.join = roster.NewJoiner(p.gossip, roster.Resolver{Port: port, Lookup: deps.Lookup, Expand: deps.Expand}, roster.Search{
		Kind: "LAN", Self: cfg.Identity.Name, Names: cfg.RetryJoin, Every: cfg.RetryInterval, Max: cfg.RetryMax,
		Apart: p.serverless,
	}, deps.Logger)
	return p, nil
}

// serverless reports that no server is left that this agent could ask: they may
// be back at other addresses, which the names of retry_join lead to.
func (p *Pool) serverless() bool {
	for _, m := range p.gossip.Members() {
		if m.Status == gossip.StatusAlive && m.Tags["role"] == RoleServer {
			return false
		}
	}
	return true
}

// serves tells the servers, of which one acts on deaths, from the clients.
func serves(tags map[string]string) bool { return tags["role"] == RoleServer }

// Open binds the ports and begins to look for the pool; it does not wait until
// that is found.
func (p *Pool) Open(ctx context.Context) error {
	if err := p.gossip.Open(ctx); err != nil {
		return err
	}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	joining, stop := context.WithCancel(p.ctx)
	p.stopJoin = stop
	p.wg.Go(func() { p.join.Run(joining) })
	p.wg.Go(p.pump)
	return nil
}

func (p *Pool) pump() {
	for {
		select {
		case e := <-p.gossip.Events():
			out := Event{Kind: e.Kind, User: e.User}
			if e.Kind != gossip.User && e.Kind != gossip.Resync {
				out.Member = roster.Read(e.Member)
			}
			select {
			case p.events <- out:
			case <-p.ctx.Done():
				return
			}
		case <-p.ctx.Done():
			return
		}
	}
}

// Close ends without a word to the others.
func (p *Pool) Close() error {
	p.closeOnce.Do(func() {
		if p.cancel != nil {
			p.stopJoin()
			p.cancel()
		}
		p.closeError = p.gossip.Close()
		p.wg.Wait()
	})
	return p.closeError
}

// Join exchanges states with the given agents, written as in retry_join, and
// returns with how many that went well; an error only if with none.
func (p *Pool) Join(ctx context.Context, items []string) (int, error) {
	return p.join.Join(ctx, items)
}

// GaveUp has the reason when retry_max attempts have failed.
func (p *Pool) GaveUp() <-chan error { return p.join.GaveUp() }

// Leave stops looking for the pool and tells it good-bye.
func (p *Pool) Leave(ctx context.Context) error {
	if p.stopJoin != nil {
		p.stopJoin()
	}
	return p.gossip.Leave(ctx)
}

// ForceLeave makes a failed member one that left; prune forgets it altogether.
func (p *Pool) ForceLeave(name string, prune bool) error { return p.gossip.ForceLeave(name, prune) }

// Members lists all that are known, by name.
func (p *Pool) Members() []Member {
	known := p.gossip.Members()
	out := make([]Member, len(known))
	for i, m := range known {
		out[i] = roster.Read(m)
	}
	return out
}

// Servers lists the members that serve, whatever their status, by name.
func (p *Pool) Servers() []Server {
	var out []Server
	for _, m := range p.gossip.Members() {
		if s, err := ParseServer(m); err == nil {
			out = append(out, s)
		}
	}
	return out
}

// Local is this agent as the pool sees it.
func (p *Pool) Local() Member { return roster.Read(p.gossip.Local()) }

// Events is where news come. Who does not read loses no member's last state.
func (p *Pool) Events() <-chan Event { return p.events }

// SetCluster tells the others which raft cluster this server belongs to.
func (p *Pool) SetCluster(id string) error {
	identity := p.cfg.Identity
	identity.Cluster = id
	return p.gossip.SetTags(identity.Tags())
}

// UserEvent sends an event to all members, this one included.
func (p *Pool) UserEvent(name string, payload []byte, coalesce bool) error {
	return p.gossip.UserEvent(name, payload, coalesce)
}

// Ping asks a member directly until it answers or ctx ends.
func (p *Pool) Ping(ctx context.Context, name string) (time.Duration, error) {
	return p.gossip.Ping(ctx, name)
}

// Doubts has, on servers, names of members that somebody had no answer from.
func (p *Pool) Doubts() <-chan string { return p.gossip.Doubts() }

// Silent looks at a member for a second and tells whether it gave no sign of life.
func (p *Pool) Silent(ctx context.Context, name string) bool { return p.gossip.Silent(ctx, name) }

// Keyring asks all members to do something with a key.
func (p *Pool) Keyring(ctx context.Context, op gossip.KeyOp, key string, relay uint8) (gossip.KeyResult, error) {
	return p.gossip.Keyring(ctx, op, key, relay)
}

// Encrypted tells whether the pool has keys.
func (p *Pool) Encrypted() bool { return p.gossip.Keys() > 0 }

// Keys is how many keys the pool reads with, 0 if it is not encrypted.
func (p *Pool) Keys() int { return p.gossip.Keys() }

// Stats are figures under the names that people know.
func (p *Pool) Stats() map[string]string { return p.gossip.Stats() }

// Coordinate is this agent's place in the network.
func (p *Pool) Coordinate() (gossip.Coordinate, error) { return p.gossip.Coordinate() }

// CachedCoordinate is another member's place as far as this one has learned it.
func (p *Pool) CachedCoordinate(name string) (gossip.Coordinate, bool) {
	return p.gossip.CachedCoordinate(name)
}
