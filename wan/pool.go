package wan

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/gossip"
	"consul.internal/internal/gossip/roster"
	"go.uber.org/zap"
)

// Pool is this server's part in the pool of all servers.
type Pool struct {
	cfg    Config
	deps   Deps
	gossip *gossip.Pool
	join   *roster.Joiner
	gone   *forgotten
	events chan gossip.Event
	flood  chan struct{}

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
	if deps.Nearby == nil {
		deps.Nearby = func() []roster.Server { return nil }
	}
	p := &Pool{cfg: cfg, deps: deps, gone: newForgotten(cfg.ForgottenPath), events: make(chan gossip.Event), flood: make(chan struct{}, 1)}
	var err error
	if p.gossip, err = gossip.New(cfg.gossip(), gossip.Deps{Logger: deps.Logger, Check: p.check, Network: deps.Network}); err != nil {
		return nil, err
	}
	p.join = roster.NewJoiner(p.gossip, roster.Resolver{Port: cfg.port(), Lookup: deps.Lookup, Expand: deps.Expand}, roster.Search{
		Kind: "WAN", Self: cfg.name(), Names: cfg.RetryJoin, Every: cfg.RetryInterval, Max: cfg.RetryMax,
		Apart: p.apart,
	}, deps.Logger)
	return p, nil
}

// port is where others gossip if they do not say so: DefaultPort.
func (c Config) port() uint16 { return DefaultPort }

// Open binds the ports and begins to look for the others; it does not wait until
// they are found.
func (p *Pool) Open(ctx context.Context) error {
	if err := p.gone.load(); err != nil {
		return err
	}
	if err := p.gossip.Open(ctx); err != nil {
		return err
	}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	joining, stop := context.WithCancel(p.ctx)
	p.stopJoin = stop
	p.wg.Go(func() { p.join.Run(joining) })
	p.wg.Go(p.pump)
	p.wg.Go(func() { p.flooding(joining) })
	return nil
}

// check admits servers that say who they are, by the name that this makes.
func (p *Pool) check(m gossip.Member) error {
	s, err := roster.ParseServer(m)
	if err != nil {
		return fault.With(fault.Denied, err)
	}
	if !strings.HasSuffix(m.Name, "."+s.Datacenter) {
		return fault.Newf(fault.Denied, "Member '%s' is not named after its datacenter '%s'", m.Name, s.Datacenter)
	}
	if !p.gone.admits(s.Datacenter) {
		return fault.Newf(fault.Denied, "Member '%s' is of datacenter '%s', which was removed; \"consul join -wan\" takes it in again", m.Name, s.Datacenter)
	}
	return nil
}

// apart reports that no other datacenter is known: those of the own one have
// come by themselves.
func (p *Pool) apart() bool {
	for _, m := range p.gossip.Members() {
		if dc := m.Tags["dc"]; m.Status == gossip.StatusAlive && dc != p.cfg.Identity.Datacenter {
			return false
		}
	}
	return true
}

// notice is what servers tell each other about removed datacenters.
const notice = "consul:datacenters"

func (p *Pool) pump() {
	var told time.Time
	for {
		select {
		case e := <-p.gossip.Events():
			if e.Kind == gossip.User {
				if e.User.Name == notice {
					p.heard(e.User.Payload)
				}
				continue
			}
			if e.Kind == gossip.Joined && time.Since(told) > retell && p.gone.some() {
				told = time.Now()
				p.tell()
			}
			select {
			case p.events <- e:
			case <-p.ctx.Done():
				return
			}
		case <-p.ctx.Done():
			return
		}
	}
}

// tell sends the others what was removed and what was taken in again.
func (p *Pool) tell() {
	payload, err := json.Marshal(p.gone.all())
	if err == nil {
		err = p.gossip.UserEvent(notice, payload, true)
	}
	if err != nil {
		p.deps.Logger.Warn("the other datacenters cannot be told which one was removed", zap.Error(err))
	}
}

func (p *Pool) heard(payload []byte) {
	var marks map[string]mark
	if json.Unmarshal(payload, &marks) != nil {
		return // of another version
	}
	fresh, err := p.gone.merge(marks, p.cfg.Identity.Datacenter)
	if err != nil {
		p.deps.Logger.Error("the list of removed datacenters is not kept", zap.Error(err))
	}
	for _, dc := range fresh {
		if !p.lives(dc) {
			p.expel(dc)
			continue
		}
		// It came back before this was heard: who lives cannot be taken out.
		p.deps.Logger.Warn("a datacenter that was removed lives, and stays", zap.String("datacenter", dc))
		if err := p.gone.set(dc, false); err != nil {
			p.deps.Logger.Error("the list of removed datacenters is not kept", zap.Error(err))
		}
		p.tell()
	}
}

func (p *Pool) lives(dc string) bool {
	return slices.ContainsFunc(p.gossip.Members(), func(m gossip.Member) bool {
		return m.Tags["dc"] == dc && m.Status == gossip.StatusAlive
	})
}

// expel takes all servers of a datacenter out of the pool.
func (p *Pool) expel(dc string) {
	for _, m := range p.gossip.Members() {
		if m.Tags["dc"] != dc {
			continue
		}
		p.deps.Logger.Info("removing a server of a datacenter that was removed", zap.String("server", m.Name))
		if err := p.gossip.ForceLeave(m.Name, true); err != nil {
			p.deps.Logger.Warn("a server cannot be taken out of the pool", zap.String("server", m.Name), zap.Error(err))
		}
	}
}

// Forget removes a datacenter: its servers are taken out of the pool everywhere,
// and not let in again until somebody joins one of them.
func (p *Pool) Forget(dc string) error {
	if dc == p.cfg.Identity.Datacenter {
		return fault.Newf(fault.Invalid, "%s is this server's own datacenter", dc)
	}
	known := false
	for _, m := range p.gossip.Members() {
		if m.Tags["dc"] == dc {
			known = true
			if m.Status == gossip.StatusAlive {
				return fault.Newf(fault.Conflict, "server %s of datacenter %s is alive; stop the datacenter's servers (or cut them off) first", m.Name, dc)
			}
		}
	}
	if !known && p.gone.has(dc) {
		return nil // it is done, or about to be
	}
	if !known {
		return fault.Newf(fault.NotFound, "no datacenter %q is known", dc)
	}
	if err := p.gone.set(dc, true); err != nil {
		return err
	}
	p.tell()
	p.expel(dc)
	return nil
}

// Nudge has it looked now for servers of the own datacenter that are not in the pool.
func (p *Pool) Nudge() {
	select {
	case p.flood <- struct{}{}:
	default:
	}
}

// flooding brings the servers of the own datacenter into the pool.
func (p *Pool) flooding(ctx context.Context) {
	tick := time.NewTicker(floodInterval)
	defer tick.Stop()
	for {
		p.bring(ctx)
		select {
		case <-p.flood:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Pool) bring(ctx context.Context) {
	here := map[string]gossip.Status{}
	for _, m := range p.gossip.Members() {
		here[m.ID] = m.Status
	}
	var targets []string
	for _, s := range p.deps.Nearby() {
		if s.Status == gossip.StatusAlive && s.WAN.Port() > 0 && s.ID != p.cfg.Identity.ID && here[s.ID] != gossip.StatusAlive {
			targets = append(targets, s.WAN.String())
		}
	}
	if len(targets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, floodTimeout)
	defer cancel()
	if _, err := p.gossip.Join(ctx, targets, true); err != nil && ctx.Err() == nil {
		p.deps.Logger.Warn("servers of this datacenter cannot be brought into the pool of all servers; it is tried again",
			zap.Strings("servers", targets), zap.Error(err))
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

// Join exchanges states with the given servers, written as in retry_join_wan, and
// returns with how many that went well; an error only if with none. A datacenter
// that was removed and is met by this is let in again, everywhere.
func (p *Pool) Join(ctx context.Context, items []string) (int, error) {
	p.gone.open()
	n, err := p.join.Join(ctx, items)
	back, serr := p.gone.close()
	if serr != nil {
		p.deps.Logger.Error("the list of removed datacenters is not kept", zap.Error(serr))
	}
	if len(back) > 0 {
		p.deps.Logger.Info("datacenters that were removed are back", zap.Strings("datacenters", back))
		p.tell()
	}
	return n, err
}

// GaveUp has the reason when retry_max_wan attempts have failed.
func (p *Pool) GaveUp() <-chan error { return p.join.GaveUp() }

// Leave stops looking for the pool and tells it good-bye.
func (p *Pool) Leave(ctx context.Context) error {
	if p.stopJoin != nil {
		p.stopJoin()
	}
	return p.gossip.Leave(ctx)
}

// ForceLeave makes a failed member one that left; prune forgets it altogether.
// The name may be without the own datacenter's.
func (p *Pool) ForceLeave(name string, prune bool) error {
	if _, ok := p.gossip.Member(name); !ok {
		name += "." + p.cfg.Identity.Datacenter
	}
	return p.gossip.ForceLeave(name, prune)
}

// Members lists all that are known, by name.
func (p *Pool) Members() []roster.Member {
	known := p.gossip.Members()
	out := make([]roster.Member, len(known))
	for i, m := range known {
		out[i] = roster.Read(m)
	}
	return out
}

// Local is this server as the pool sees it.
func (p *Pool) Local() roster.Member { return roster.Read(p.gossip.Local()) }

// Events is where news of members come. Who does not read loses no member's last state.
func (p *Pool) Events() <-chan gossip.Event { return p.events }

// Ping asks a member directly until it answers or ctx ends.
func (p *Pool) Ping(ctx context.Context, name string) (time.Duration, error) {
	return p.gossip.Ping(ctx, name)
}

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

// Advertised is the address that others are told.
func (p *Pool) Advertised() netip.AddrPort { return p.gossip.Advertised() }
