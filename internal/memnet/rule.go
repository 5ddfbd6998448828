package memnet

import (
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Rule is what becomes of traffic in one direction between two hosts.
type Rule struct {
	Delay  time.Duration // one way
	Jitter time.Duration // on top of Delay, evenly spread from 0 to Jitter
	Loss   float64       // share of packets lost, 0 to 1; streams become late instead
	Cut    bool          // packets vanish, streams stall, dials get no answer
	Refuse bool          // dials are refused, open streams were reset, packets vanish
}

const (
	// minRTO is Linux's smallest retransmission timeout.
	minRTO = 200 * time.Millisecond
	// maxRTO is where Linux stops doubling it.
	maxRTO = 120 * time.Second
	// mostLosses bounds the losses in a row that one segment can meet: at 50 %
	// loss eight in a row are rarer than one in 250, and cost 51 s already.
	mostLosses = 8
)

// pair is one direction between two hosts.
type pair struct{ from, to netip.Addr }

func (p pair) back() pair { return pair{p.to, p.from} }

// link holds what one direction remembers besides its rule. A thousand hosts
// have a million of them, so it is small.
type link struct {
	packets rand.PCG // chance of packets
	streams rand.PCG // chance of streams, apart so that neither shifts the other
	count   Counters
}

// happens draws whether something with this probability does.
func happens(chance *rand.PCG, probability float64) bool {
	return probability > 0 && rand.New(chance).Float64() < probability
}

func (n *Net) link(p pair) *link {
	l := n.links[p]
	if l == nil {
		h := fnv.New64a()
		from, to := p.from.As16(), p.to.As16()
		h.Write(from[:])
		h.Write(to[:])
		l = &link{}
		l.packets.Seed(n.seed, h.Sum64())
		l.streams.Seed(n.seed, ^h.Sum64())
		n.links[p] = l
	}
	return l
}

// rule tells what holds for one direction now. A host reaches itself always.
func (n *Net) rule(p pair) Rule {
	if p.from == p.to {
		return Rule{}
	}
	r, own := n.rules[p]
	if !own {
		r = n.base
	}
	to, known := n.hosts[p.to]
	switch {
	case !known:
		r.Cut = true // nobody answers there
	case to.down:
		r.Refuse = true
	}
	return r
}

// stalled: a stream needs both directions, one for the data and one for what
// acknowledges them.
func (n *Net) stalled(p pair) bool { return n.rule(p).Cut || n.rule(p.back()).Cut }

// refused: a host that is down neither takes nor keeps a stream.
func (n *Net) refused(p pair) bool { return n.rule(p).Refuse || n.rule(p.back()).Refuse }

func (r Rule) latency(chance *rand.PCG) time.Duration {
	d := r.Delay
	if r.Jitter > 0 {
		d += time.Duration(rand.New(chance).Int64N(int64(r.Jitter) + 1))
	}
	return d
}

// lateness is how long a segment takes one way, with the retransmissions that
// the rule's loss costs it.
func (n *Net) lateness(p pair) time.Duration {
	r, l := n.rule(p), n.link(p)
	d := r.latency(&l.streams)
	if r.Loss <= 0 {
		return d
	}
	rto := minRTO + r.Delay + n.rule(p.back()).Delay
	for i := 0; i < mostLosses && happens(&l.streams, r.Loss); i++ {
		d += rto
		rto = min(2*rto, maxRTO)
		l.count.Retransmits++
	}
	return d
}

// nextRetry is when a sender that has heard nothing since sent tries again.
func nextRetry(sent, now time.Time) time.Time {
	at, rto := sent, minRTO
	for at.Before(now) {
		at = at.Add(rto)
		rto = min(2*rto, maxRTO)
	}
	return at
}

// Counters tell what happened in one direction between two hosts.
type Counters struct {
	Packets     int // sent
	PacketsLost int // of them lost by chance
	PacketsCut  int // of them lost to a cut, a refusal or an unknown host
	PacketsLeft int // of them dropped because nobody listened or the queue was full
	PacketBytes int64
	Dials       int // tried
	Refused     int // of them refused
	Resets      int // streams reset by a rule
	Segments    int
	Retransmits int
	StreamBytes int64
}

func (c *Counters) add(o Counters) {
	c.Packets += o.Packets
	c.PacketsLost += o.PacketsLost
	c.PacketsCut += o.PacketsCut
	c.PacketsLeft += o.PacketsLeft
	c.PacketBytes += o.PacketBytes
	c.Dials += o.Dials
	c.Refused += o.Refused
	c.Resets += o.Resets
	c.Segments += o.Segments
	c.Retransmits += o.Retransmits
	c.StreamBytes += o.StreamBytes
}
