package memnet

import (
	"net/netip"
	"sync"
	"time"
)

// Net is one network. All its methods may be called by anyone at any time.
type Net struct {
	seed uint64

	// One lock for everything: tests have few hosts, and no order of locks can
	// be wrong. Nobody waits while holding it.
	mu    sync.Mutex
	base  Rule
	rules map[pair]Rule
	links map[pair]*link
	hosts map[netip.Addr]*Host
	pipes map[*pipe]struct{} // directions of streams that somebody may still read
	order uint64             // packets sent so far
	shut  bool
	ended signal // of the whole network
}

// New makes an empty network. In a bubble, call it inside the bubble.
func New(seed uint64) *Net {
	return &Net{
		seed: seed, rules: map[pair]Rule{}, links: map[pair]*link{},
		hosts: map[netip.Addr]*Host{}, pipes: map[*pipe]struct{}{},
	}
}

// Host returns the host with the address ip, a new one if there was none. It
// panics if ip is no address.
func (n *Net) Host(ip string) *Host {
	addr := parse(ip)
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[addr]
	if h == nil {
		h = &Host{
			net: n, addr: addr, nextPort: firstEphemeral,
			listeners: map[netip.AddrPort]*listener{},
			packets:   map[netip.AddrPort]*packetConn{},
		}
		n.hosts[addr] = h
	}
	return h
}

func parse(ip string) netip.Addr { return netip.MustParseAddr(ip).Unmap() }

// Close ends the network: every listener is closed, every stream reset, every
// dial given up, whatever the rules are. Call it at the end of a bubble, so that
// nobody waits there for a message that no time is left for.
func (n *Net) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shut = true
	n.ended.wake()
	for _, h := range n.hosts {
		for _, l := range h.listeners {
			l.closeLocked()
		}
		for _, c := range h.packets {
			c.closeLocked()
		}
	}
	now := time.Now()
	for p := range n.pipes {
		n.sever(p, now)
		p.queue[len(p.queue)-1].at = now
	}
}

// SetDefault sets the rule between all hosts that have none of their own.
func (n *Net) SetDefault(r Rule) { n.change(func() { n.base = r }) }

// SetRule sets the rule of one direction.
func (n *Net) SetRule(from, to string, r Rule) {
	n.change(func() { n.rules[pair{parse(from), parse(to)}] = r })
}

// SetLink sets the rule of both directions.
func (n *Net) SetLink(a, b string, r Rule) {
	n.change(func() {
		p := pair{parse(a), parse(b)}
		n.rules[p], n.rules[p.back()] = r, r
	})
}

// Cut lets nothing pass between a and b; their other rules stay.
func (n *Net) Cut(a, b string) {
	n.change(func() {
		p := pair{parse(a), parse(b)}
		n.setCut(p, true)
		n.setCut(p.back(), true)
	})
}

// CutOneWay lets nothing pass that from sends to to.
func (n *Net) CutOneWay(from, to string) {
	n.change(func() { n.setCut(pair{parse(from), parse(to)}, true) })
}

// Heal ends the cuts between a and b, both ways.
func (n *Net) Heal(a, b string) {
	n.change(func() {
		p := pair{parse(a), parse(b)}
		n.setCut(p, false)
		n.setCut(p.back(), false)
	})
}

// Isolate cuts a host from all others that exist.
func (n *Net) Isolate(ip string) {
	n.change(func() {
		a := parse(ip)
		for b := range n.hosts {
			if a != b {
				n.setCut(pair{a, b}, true)
				n.setCut(pair{b, a}, true)
			}
		}
	})
}

// Partition cuts hosts of different groups from one another.
func (n *Net) Partition(groups ...[]string) {
	n.change(func() {
		for i, one := range groups {
			for _, other := range groups[i+1:] {
				for _, a := range one {
					for _, b := range other {
						p := pair{parse(a), parse(b)}
						n.setCut(p, true)
						n.setCut(p.back(), true)
					}
				}
			}
		}
	})
}

// HealAll ends every cut; delays and losses stay.
func (n *Net) HealAll() {
	n.change(func() {
		n.base.Cut = false
		for p := range n.rules {
			n.setCut(p, false)
		}
	})
}

// Rule tells what holds for one direction now.
func (n *Net) Rule(from, to string) Rule {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rule(pair{parse(from), parse(to)})
}

// Counters tells what one direction has carried.
func (n *Net) Counters(from, to string) Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.link(pair{parse(from), parse(to)}).count
}

// Total is the sum of all directions.
func (n *Net) Total() Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	var sum Counters
	for _, l := range n.links {
		sum.add(l.count)
	}
	return sum
}

// setCut changes one direction's cut, keeping the rest of its rule.
func (n *Net) setCut(p pair, cut bool) {
	r, own := n.rules[p]
	if !own {
		r = n.base
	}
	r.Cut = cut
	n.rules[p] = r
}

// change alters rules and lets the open streams feel it.
func (n *Net) change(alter func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	alter()
	n.settle()
}

// settle resets the streams that a rule refuses now and sends on what waited
// for the end of a cut.
func (n *Net) settle() {
	now := time.Now()
	for p := range n.pipes {
		if n.refused(p.link) && !p.ended(reset) {
			n.link(p.link).count.Resets++
			n.sever(p, now)
		}
		if !n.stalled(p.link) {
			n.release(p, now)
		}
	}
}
