package gossip

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/metrics"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
	"go.uber.org/zap"
)

const (
	// tidyInterval is how often the last events are compared with what serf believes.
	// Serf drops events when a thousand come at once.
	tidyInterval = 30 * time.Second
	// keyringInterval is how often changed keys are brought to the keyring file. They
	// stand on disk already, in a file that a power cut may tear.
	keyringInterval = 500 * time.Millisecond
	// returnPause between attempts to make the pool know this node's new address.
	returnPause = 200 * time.Millisecond
	// returnPeers are asked for that; news then spread by themselves.
	returnPeers = 3
	// intentTimeout: an intent may come this long before its member does.
	intentTimeout = time.Minute
	// minQueueDepth: fewer waiting messages are never thrown away.
	minQueueDepth = 4096
)

var errClosed = fault.Newf(fault.Unavailable, "the gossip pool is closed")

// Pool is one agent's part in a pool.
type Pool struct {
	cfg     Config
	log     *zap.Logger
	network Network
	guard   *guard
	queue   *queue

	lookout *lookout

	serf      *serf.Serf
	transport *transport
	keys      *keyring
	previous  []netip.AddrPort

	ctx     context.Context
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup
	mu      sync.Mutex // guards closed together with wg.Add
	closed  bool
	opened  bool
	leaving sync.WaitGroup
	left    atomic.Bool
	joining chan struct{} // of one place
	tags    ownTags
}

// ownTags are what this member says of itself.
type ownTags struct {
	mu sync.Mutex
	m  map[string]string
}

// start is when this life began, as the tags say.
func (t *ownTags) start() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return readStamp(t.m)
}

// New makes a pool that does nothing yet.
func New(cfg Config, deps Deps) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Network == nil {
		deps.Network = kernel{}
	}
	if deps.Logger == nil {
		deps.Logger = zap.NewNop()
	}
	p := &Pool{cfg: cfg, log: deps.Logger, network: deps.Network, queue: newQueue(), joining: make(chan struct{}, 1), tags: ownTags{m: maps.Clone(cfg.Tags)}}
	p.guard = newGuard(cfg, deps.Check, deps.Logger)
	p.guard.watches = deps.Watches
	p.lookout = newLookout(cfg, p.guard, deps)
	p.lookout.watches = deps.Watches != nil && deps.Watches(cfg.Tags)
	p.lookout.run = p.run
	return p, nil
}

// Open binds the ports and begins to gossip. Members known from an earlier life
// are looked for at once.
func (p *Pool) Open(ctx context.Context) (err error) {
	p.mu.Lock()
	if p.opened || p.closed {
		p.mu.Unlock()
		return errors.New("gossip: a pool opens once")
	}
	p.opened = true
	p.mu.Unlock()
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	p.ctx, p.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if p.keys, err = openKeyring(p.cfg.Encryption, p.log); err != nil {
		return err
	}
	if p.previous, err = prepareSnapshot(p.cfg.SnapshotPath, p.cfg.RejoinAfterLeave); err != nil {
		return err
	}
	if p.transport, err = newTransport(ctx, p.network, p.cfg); err != nil {
		return err
	}
	p.guard.at = p.transport.advertise
	p.transport.unanswered, p.transport.streamTimeout = p.lookout.unanswered, p.cfg.Timers.StreamTimeout
	conf := p.serfConfig()
	// Conflicts by ID are ours; serf would put the matter to a vote and shut down.
	if p.serf, err = serf.Create(conf); err != nil {
		return fault.With(fault.Unavailable, fmt.Errorf("start gossip: %w", err))
	}
	// Serf sets these itself. Nobody has asked them yet: the transport is closed.
	conf.MemberlistConfig.Conflict = p.guard
	conf.MemberlistConfig.Delegate = &bouncer{Delegate: conf.MemberlistConfig.Delegate, guard: p.guard, lookout: p.lookout}
	ml := p.serf.Memberlist()
	p.lookout.ping = func(name string, at netip.AddrPort) (time.Duration, error) {
		return ml.Ping(name, net.UDPAddrFromAddrPort(at))
	}
	p.lookout.send = func(to watch, msg []byte) error {
		return ml.SendToAddress(memberlist.Address{Addr: to.at.String(), Name: to.name}, msg)
	}
	p.transport.start()
	p.run(p.pump)
	p.run(func() { p.queue.deliver(p.ctx) })
	return nil
}

func (p *Pool) serfConfig() *serf.Config {
	logger := libraryLogger(p.log)
	t := p.cfg.Timers
	ml := memberlist.DefaultLANConfig()
	ml.Name, ml.Label, ml.Transport, ml.Logger = p.cfg.Name, p.cfg.Label, p.transport, logger
	ml.BindPort = int(p.transport.advertise.Port())
	ml.TCPTimeout, ml.IndirectChecks, ml.RetransmitMult = t.StreamTimeout, t.IndirectChecks, t.RetransmitMult
	ml.SuspicionMult, ml.SuspicionMaxTimeoutMult = t.SuspicionMult, t.SuspicionMaxMult
	ml.PushPullInterval, ml.ProbeInterval, ml.ProbeTimeout = t.PushPullInterval, t.ProbeInterval, t.ProbeTimeout
	ml.AwarenessMaxMultiplier = t.AwarenessMax
	ml.GossipInterval, ml.GossipNodes, ml.GossipToTheDeadTime = t.GossipInterval, t.GossipNodes, t.GossipToTheDead
	ml.GossipVerifyIncoming, ml.GossipVerifyOutgoing = p.cfg.Encryption.VerifyIncoming, p.cfg.Encryption.VerifyOutgoing
	// Messages are small; packing them costs more time than it saves bytes.
	ml.EnableCompression = false
	// Who may take a dead member's name is judged by guard: the same ID at once.
	ml.DeadNodeReclaimTime = time.Nanosecond
	ml.Alive, ml.Merge = p.guard, p.guard
	if p.keys != nil {
		ml.Keyring = p.keys.Keyring
	}
	for _, prefix := range p.cfg.AllowedCIDRs {
		ml.CIDRsAllowed = append(ml.CIDRsAllowed, net.IPNet{
			IP: prefix.Masked().Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		})
	}
	conf := serf.DefaultConfig()
	ml.MetricLabels = []metrics.Label{{Name: "network", Value: p.cfg.Label}} // lan or wan
	conf.MetricLabels = ml.MetricLabels
	conf.NodeName, conf.Logger, conf.MemberlistConfig, conf.EventCh = p.cfg.Name, logger, ml, p.queue.serf
	conf.Tags = p.withStamp(0)
	conf.SnapshotPath, conf.RejoinAfterLeave = p.cfg.SnapshotPath, p.cfg.RejoinAfterLeave
	conf.ReconnectInterval, conf.ReconnectTimeout, conf.TombstoneTimeout = t.ReconnectInterval, p.cfg.ReconnectTimeout, p.cfg.TombstoneTimeout
	conf.ReconnectTimeoutOverride = wishes{}
	conf.RecentIntentTimeout, conf.MinQueueDepth = intentTimeout, minQueueDepth
	conf.LeavePropagateDelay, conf.BroadcastTimeout = t.LeavePropagateDelay, t.BroadcastTimeout
	conf.EnableNameConflictResolution, conf.ValidateNodeNames = false, false // guard judges names
	if p.keys != nil && p.keys.path != "" {
		conf.KeyringFile = p.keys.path + nextSuffix
	}
	return conf
}

// withStamp adds the start of this life, later than known, to the tags.
func (p *Pool) withStamp(known int64) map[string]string {
	p.tags.mu.Lock()
	defer p.tags.mu.Unlock()
	tags := maps.Clone(p.tags.m)
	if tags == nil {
		tags = map[string]string{}
	}
	if known > 0 || p.tags.m[tagStart] == "" {
		tags[tagStart] = stamp(nextStamp(known))
	}
	tags[tagID] = p.cfg.NodeID
	p.tags.m = maps.Clone(tags)
	return tags
}

// run starts a goroutine that Close waits for, unless the pool is closed.
func (p *Pool) run(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Go(f)
	return true
}

// pump takes serf's events, and tidies up now and then.
func (p *Pool) pump() {
	announced := map[string]Status{}
	tidy := time.NewTicker(tidyInterval)
	defer tidy.Stop()
	var keyring <-chan time.Time
	if p.keys != nil && p.keys.path != "" {
		t := time.NewTicker(keyringInterval)
		defer t.Stop()
		keyring = t.C
	}
	for {
		select {
		case e := <-p.queue.serf:
			for _, ev := range translate(e) {
				p.announce(announced, ev)
			}
		case <-tidy.C:
			p.tidy(announced)
		case <-keyring:
			if err := p.keys.save(); err != nil {
				p.log.Error("gossip keys are not kept", zap.Error(err))
			}
		case <-p.guard.again:
			p.run(p.comeBack)
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *Pool) announce(announced map[string]Status, e Event) {
	switch e.Kind {
	case User:
	case Reaped:
		delete(announced, e.Member.Name)
		p.guard.forget(e.Member.Name)
	default:
		announced[e.Member.Name] = e.Member.Status
		p.guard.reached(e.Member)
	}
	p.queue.put(e)
}

// tidy tells what the events have not told.
func (p *Pool) tidy(announced map[string]Status) {
	now := map[string]Status{}
	for _, m := range p.Members() {
		now[m.Name] = m.Status
		// Leaving is an intent that serf announces only when it has happened.
		if was, ok := announced[m.Name]; m.Status == StatusLeaving || ok && was == m.Status {
			continue
		}
		kind := map[Status]Kind{StatusAlive: Joined, StatusLeft: Left, StatusFailed: Failed}[m.Status]
		if kind != 0 {
			p.announce(announced, Event{Kind: kind, Member: m})
		}
	}
	for name := range announced {
		if _, ok := now[name]; !ok {
			p.announce(announced, Event{Kind: Reaped, Member: Member{Name: name}})
		}
	}
	p.guard.prune(now)
}

// comeBack makes the pool know this node under its new address: its members
// remember it under the old one, and answer with that until they have been told.
func (p *Pool) comeBack() {
	select {
	case <-time.After(returnPause):
	case <-p.ctx.Done():
		return
	}
	if p.left.Load() {
		return
	}
	if known := p.guard.latest(); known >= p.tags.start() {
		if err := p.serf.SetTags(p.withStamp(known)); err != nil {
			p.log.Warn("serf: the pool knows a later start of this node", zap.Error(err))
		}
	}
	var peers []string
	for _, m := range p.Members() {
		if m.Status == StatusAlive && m.Name != p.cfg.Name && len(peers) < returnPeers {
			peers = append(peers, m.AddrPort().String())
		}
	}
	if len(peers) > 0 {
		if _, err := p.serfJoin(peers, true); err != nil && p.ctx.Err() == nil {
			p.log.Debug("serf: telling the pool of this node's new address", zap.Error(err))
		}
	}
}

// Close ends without a word: the others will find this member failed. Leave
// before it says good-bye.
func (p *Pool) Close() error {
	p.mu.Lock()
	already := p.closed
	p.closed = true
	p.mu.Unlock()
	if already || p.ctx == nil {
		p.wg.Wait()
		return nil
	}
	p.leaving.Wait() // the library does not bear a shutdown in the middle of it
	var errs []error
	if p.serf != nil {
		errs = append(errs, p.serf.Shutdown())
		// The library does not wait for the probe that may be under way, which outlives
		// the pool by a probe interval, longer if this member doubts itself. It has
		// nothing left to probe with, and no process shall take seconds longer to stop
		// for it; but where the network is made for a test, the clock is too, and the
		// test shall see everything end.
		if _, machines := p.network.(kernel); !machines && p.serf.NumNodes() > 1 {
			time.Sleep(time.Duration(p.serf.Memberlist().GetHealthScore()+1) * p.cfg.Timers.ProbeInterval)
		}
	} else if p.transport != nil {
		errs = append(errs, p.transport.Shutdown())
	}
	p.cancel(errClosed)
	p.wg.Wait()
	return errors.Join(append(errs, p.keys.save())...)
}

func (p *Pool) usable() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.serf == nil {
		return errClosed
	}
	return nil
}
