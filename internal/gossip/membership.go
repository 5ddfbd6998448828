package gossip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"consul.internal/internal/fault"
	"github.com/hashicorp/serf/coordinate"
)

// Join exchanges states with the agents at addrs ("10.0.0.1:8301"), which merges
// the pools, and returns with how many that went well; an error only if with
// none. ignoreOld leaves out user events from before.
func (p *Pool) Join(ctx context.Context, addrs []string, ignoreOld bool) (int, error) {
	if err := p.usable(); err != nil {
		return 0, err
	}
	if len(addrs) == 0 {
		return 0, fault.Newf(fault.Invalid, "no address to join")
	}
	there, errs := p.lookout.takers(ctx, addrs, p.cfg.Timers.DialTimeout)
	if len(there) == 0 {
		return 0, fault.With(fault.Unavailable, errors.Join(errs...))
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	if !p.run(func() {
		n, err := p.serfJoin(there, ignoreOld)
		done <- result{n, err}
	}) {
		return 0, errClosed
	}
	select {
	case r := <-done:
		if r.n > 0 {
			return r.n, nil
		}
		return 0, errors.Join(append(errs, joinError(r.err))...)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// serfJoin is serf's Join, one at a time: the library would keep the second one
// waiting for a lock, which no context ends.
func (p *Pool) serfJoin(addrs []string, ignoreOld bool) (int, error) {
	select {
	case p.joining <- struct{}{}:
		defer func() { <-p.joining }()
	case <-p.ctx.Done():
		return 0, errClosed
	}
	return p.serf.Join(addrs, ignoreOld)
}

// takers finds out at once who takes connections, since the library tries one
// after the other.
func (l *lookout) takers(ctx context.Context, addrs []string, within time.Duration) (there []string, errs []error) {
	if len(addrs) == 1 {
		return addrs, nil
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	results := make([]error, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() {
			c, err := l.network.Dial(ctx, addr)
			if err == nil {
				err = c.Close()
			}
			results[i] = err
		})
	}
	wg.Wait()
	for i, err := range results {
		if err != nil {
			errs = append(errs, fmt.Errorf("failed to join %s: %w", addrs[i], err))
		} else {
			there = append(there, addrs[i])
		}
	}
	return there, errs
}

// hungUp is what it means that the other end ends a join.
const hungUp = "the other end hung up: it is no gossip port of this kind of pool, or it has another key or refuses this agent; its log tells"

// joinError says what the library's error means.
func joinError(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, c := range []struct{ sign, means string }{
		{"No installed keys could decrypt", "the gossip keys differ: this agent has none of the keys that the other encrypts with (-encrypt)"},
		{"encryption is configured but remote state is not encrypted", "this agent has a gossip key (-encrypt) and the other has none"},
		{"remote state is encrypted and encryption is not configured", "the other agent has a gossip key (-encrypt) and this one has none"},
		{"EOF", hungUp},
		{"broken pipe", hungUp},
		{"connection reset", hungUp},
	} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(c.sign)) {
			return fault.Newf(fault.Denied, "%s: %w", c.means, err)
		}
	}
	return fault.With(fault.Unavailable, err)
}

// Leave tells the pool that this member goes, and waits until that is heard or ctx
// ends. The pool stays open, to answer probes until the news are everywhere.
func (p *Pool) Leave(ctx context.Context) error {
	p.mu.Lock()
	if p.closed || p.serf == nil {
		p.mu.Unlock()
		return errClosed
	}
	done := make(chan error, 1)
	p.leaving.Add(1)
	p.left.Store(true)
	p.wg.Go(func() {
		defer p.leaving.Done()
		done <- p.serf.Leave()
	})
	p.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ForceLeave makes a failed member one that left; prune forgets it altogether.
func (p *Pool) ForceLeave(name string, prune bool) error {
	if err := p.usable(); err != nil {
		return err
	}
	if _, ok := p.Member(name); !ok {
		return fault.Newf(fault.NotFound, "agent: No node found with name '%s'", name)
	}
	remove := p.serf.RemoveFailedNode
	if prune {
		remove = p.serf.RemoveFailedNodePrune
	}
	if err := remove(name); err != nil {
		return fault.With(fault.Unavailable, err)
	}
	return nil
}

// Members lists all that are known, by name.
func (p *Pool) Members() []Member {
	if p.serf == nil {
		return nil
	}
	known := p.serf.Members()
	out := make([]Member, len(known))
	for i, m := range known {
		out[i] = fromSerf(m)
	}
	sortMembers(out)
	return out
}

// Member finds one by name.
func (p *Pool) Member(name string) (Member, bool) {
	if p.serf == nil {
		return Member{}, false
	}
	for _, m := range p.serf.Members() {
		if m.Name == name {
			return fromSerf(m), true
		}
	}
	return Member{}, false
}

// Local is this member as the pool sees it.
func (p *Pool) Local() Member {
	m, _ := p.Member(p.cfg.Name)
	return m
}

// Advertised is the address that others are told.
func (p *Pool) Advertised() netip.AddrPort { return p.transport.advertise }

// Previous are the addresses of members that an earlier life of this agent knew.
func (p *Pool) Previous() []netip.AddrPort { return p.previous }

// SetTags replaces this member's tags and waits until that is sent off.
func (p *Pool) SetTags(tags map[string]string) error {
	if err := p.usable(); err != nil {
		return err
	}
	p.tags.mu.Lock()
	start := p.tags.m[tagStart]
	p.tags.m = map[string]string{}
	for k, v := range tags {
		p.tags.m[k] = v
	}
	p.tags.m[tagStart] = start
	p.tags.mu.Unlock()
	if err := p.serf.SetTags(p.withStamp(0)); err != nil {
		return fault.With(fault.Unavailable, err)
	}
	return nil
}

// Events is where news come. Who does not read loses no member's last state.
func (p *Pool) Events() <-chan Event { return p.queue.out }

// UserEvent sends an event to all members, this one included.
func (p *Pool) UserEvent(name string, payload []byte, coalesce bool) error {
	if err := p.usable(); err != nil {
		return err
	}
	if err := p.serf.UserEvent(name, payload, coalesce); err != nil {
		return fault.With(fault.Invalid, err)
	}
	return nil
}

// Keys is how many keys the pool reads with, 0 if it is not encrypted.
func (p *Pool) Keys() int {
	if p.keys == nil {
		return 0
	}
	return len(p.keys.GetKeys())
}

// Stats are serf's figures under the names that people know.
func (p *Pool) Stats() map[string]string {
	if p.serf == nil {
		return map[string]string{}
	}
	return p.serf.Stats()
}

// Coordinate is a place in the network: the distance of two is the estimated
// round-trip time between them (Vivaldi; all values in seconds but Error, which
// has no unit).
type Coordinate struct {
	Vec        []float64
	Error      float64
	Adjustment float64
	Height     float64
}

// DistanceTo is the estimated round-trip time; 0 if the two do not fit together.
func (c Coordinate) DistanceTo(other Coordinate) time.Duration {
	a, b := coordinate.Coordinate(c), coordinate.Coordinate(other)
	if !a.IsValid() || !b.IsValid() || !a.IsCompatibleWith(&b) {
		return 0
	}
	return a.DistanceTo(&b)
}

// Coordinate is this member's place.
func (p *Pool) Coordinate() (Coordinate, error) {
	if err := p.usable(); err != nil {
		return Coordinate{}, err
	}
	c, err := p.serf.GetCoordinate()
	if err != nil {
		return Coordinate{}, fault.With(fault.Unavailable, err)
	}
	return Coordinate(*c), nil
}

// CachedCoordinate is another member's place as far as this one has learned it.
func (p *Pool) CachedCoordinate(name string) (Coordinate, bool) {
	if p.usable() != nil {
		return Coordinate{}, false
	}
	c, ok := p.serf.GetCachedCoordinate(name)
	if !ok {
		return Coordinate{}, false
	}
	return Coordinate(*c), true
}
