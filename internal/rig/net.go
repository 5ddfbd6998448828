//go:build linux

package rig

import (
	"container/heap"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// maxFrame is the largest packet that IPv4 knows.
	maxFrame = 65535
	// maxInFlight packets wait on their way to one host; more are dropped. At
	// 200 ms delay that is 50,000 packets a second.
	maxInFlight = 10_000
)

// Link is what becomes of packets in one direction between two hosts.
type Link struct {
	Delay  time.Duration // one way
	Jitter time.Duration // on top of Delay, evenly spread from 0; packets keep their order
	Loss   float64       // share of packets lost, 0 to 1
	Cut    bool          // nothing passes
}

// Counters tell what one direction has carried.
type Counters struct {
	Packets int // sent
	Lost    int // by chance
	Cut     int
	Full    int // dropped because too many were under way
	Bytes   int64
}

// way is one direction between two hosts.
type way struct{ from, to *Host }

// wire is what one direction remembers.
type wire struct {
	chance *rand.Rand
	last   time.Time // when its latest packet arrives
	count  Counters
}

// Net is the network between the hosts: rules, and the switch that obeys them.
type Net struct {
	seed uint64

	mu     sync.Mutex
	base   Link
	links  map[way]Link
	wires  map[way]*wire
	hosts  map[netip.Addr]*Host
	number map[*Host]uint64 // in the order of making, for the seeds
	order  uint64
}

func newNet(seed uint64) *Net {
	return &Net{
		seed: seed, links: map[way]Link{}, wires: map[way]*wire{},
		hosts: map[netip.Addr]*Host{}, number: map[*Host]uint64{},
	}
}

// SetDefault sets the link between all hosts that have none of their own.
func (n *Net) SetDefault(l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.base = l
}

// Set sets the link of one direction.
func (n *Net) Set(from, to *Host, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[way{from, to}] = l
}

// Link tells the link of one direction.
func (n *Net) Link(from, to *Host) Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.link(way{from, to})
}

func (n *Net) link(w way) Link {
	if l, own := n.links[w]; own {
		return l
	}
	return n.base
}

// alter changes both directions, or one.
func (n *Net) alter(a, b *Host, both bool, change func(*Link)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alterLocked(a, b, both, change)
}

func (n *Net) alterLocked(a, b *Host, both bool, change func(*Link)) {
	ways := []way{{a, b}}
	if both {
		ways = append(ways, way{b, a})
	}
	for _, w := range ways {
		l := n.link(w)
		change(&l)
		n.links[w] = l
	}
}

// Cut lets nothing pass between a and b.
func (n *Net) Cut(a, b *Host) { n.alter(a, b, true, func(l *Link) { l.Cut = true }) }

// CutOneWay lets nothing pass that from sends to to.
func (n *Net) CutOneWay(from, to *Host) { n.alter(from, to, false, func(l *Link) { l.Cut = true }) }

// Heal ends the cuts between a and b, both ways; delay and loss stay.
func (n *Net) Heal(a, b *Host) { n.alter(a, b, true, func(l *Link) { l.Cut = false }) }

// Delay sets delay and jitter between a and b, each way.
func (n *Net) Delay(a, b *Host, delay, jitter time.Duration) {
	n.alter(a, b, true, func(l *Link) { l.Delay, l.Jitter = delay, jitter })
}

// Loss sets the share of packets lost between a and b, each way.
func (n *Net) Loss(a, b *Host, share float64) {
	n.alter(a, b, true, func(l *Link) { l.Loss = share })
}

// Isolate cuts a host from all others.
func (n *Net) Isolate(a *Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for b := range n.number {
		if a != b {
			n.alterLocked(a, b, true, func(l *Link) { l.Cut = true })
		}
	}
}

// Partition cuts hosts of different groups from one another.
func (n *Net) Partition(groups ...[]*Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, one := range groups {
		for _, other := range groups[i+1:] {
			for _, a := range one {
				for _, b := range other {
					n.alterLocked(a, b, true, func(l *Link) { l.Cut = true })
				}
			}
		}
	}
}

// Reset makes every link perfect again.
func (n *Net) Reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.base = Link{}
	clear(n.links)
}

// HealAll ends every cut; delays and losses stay.
func (n *Net) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.base.Cut = false
	for w, l := range n.links {
		l.Cut = false
		n.links[w] = l
	}
}

// Counters tells what one direction has carried.
func (n *Net) Counters(from, to *Host) Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wire(way{from, to}).count
}

func (n *Net) wire(w way) *wire {
	x := n.wires[w]
	if x == nil {
		x = &wire{chance: rand.New(rand.NewPCG(n.seed, n.number[w.from]<<32|n.number[w.to]))}
		n.wires[w] = x
	}
	return x
}

// names are the hosts as lines of /etc/hosts.
func (n *Net) names() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	for _, addr := range slices.SortedFunc(maps.Keys(n.hosts), netip.Addr.Compare) {
		if h := n.hosts[addr]; h.Addr() == addr {
			fmt.Fprintln(&b, addr, h.name)
		}
	}
	return b.String()
}

func (n *Net) taken(addr netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[addr] != nil
}

// also gives a host one more address.
func (n *Net) also(h *Host, addr netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[addr] != nil {
		return fmt.Errorf("the address %v is taken", addr)
	}
	n.hosts[addr] = h
	return nil
}

// plug connects a host, or moves it to another address.
func (n *Net) plug(h *Host, addr netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[addr] != nil {
		return fmt.Errorf("the address %v is taken", addr)
	}
	for old, other := range n.hosts {
		if other == h {
			delete(n.hosts, old)
		}
	}
	n.hosts[addr] = h
	if n.number[h] == 0 {
		n.number[h] = uint64(len(n.number) + 1)
	}
	return nil
}

// packet is one on its way.
type packet struct {
	data  []byte
	at    time.Time
	order uint64
}

type queue []packet

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(packet)) }
func (q queue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].order < q[j].order
	}
	return q[i].at.Before(q[j].at)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = packet{}
	*q = (*q)[:last]
	return p
}

// port is a host's place at the switch.
type port struct {
	tun  *os.File
	wake chan struct{}
	quit chan struct{}

	mu sync.Mutex
	q  queue
}

// read takes what the host sends until the device is closed.
func (n *Net) read(h *Host) {
	buf := make([]byte, maxFrame)
	for {
		k, err := h.port.tun.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				h.rig.log.Error("a host's device is broken", zap.String("host", h.name), zap.Error(err))
			}
			return
		}
		n.forward(h, buf[:k])
	}
}

// forward sends a packet on its way, or drops it.
func (n *Net) forward(from *Host, data []byte) {
	if len(data) < 20 || data[0]>>4 != 4 { // IPv6 neighbours' greetings, mostly
		return
	}
	addr := netip.AddrFrom4([4]byte(data[16:20]))
	n.mu.Lock()
	to := n.hosts[addr]
	if to == nil {
		n.mu.Unlock()
		return
	}
	now := time.Now()
	at, order, passes := n.fate(way{from, to}, len(data), now)
	n.mu.Unlock()
	if !passes {
		return
	}
	full := to.port.put(data, at, order, now)
	if full {
		n.mu.Lock()
		n.wire(way{from, to}).count.Full++
		n.mu.Unlock()
	}
}

// fate draws what becomes of a packet.
func (n *Net) fate(w way, size int, now time.Time) (at time.Time, order uint64, passes bool) {
	l, x := n.link(w), n.wire(w)
	x.count.Packets++
	x.count.Bytes += int64(size)
	switch {
	case l.Cut:
		x.count.Cut++
		return now, 0, false
	case l.Loss > 0 && x.chance.Float64() < l.Loss:
		x.count.Lost++
		return now, 0, false
	}
	at = now.Add(l.Delay)
	if l.Jitter > 0 {
		at = at.Add(time.Duration(x.chance.Int64N(int64(l.Jitter) + 1)))
	}
	if at.Before(x.last) {
		at = x.last
	}
	x.last = at
	n.order++
	return at, n.order, true
}

// put delivers at once what is due and nothing waits before.
func (p *port) put(data []byte, at time.Time, order uint64, now time.Time) (full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !at.After(now) && len(p.q) == 0 {
		p.deliver(data)
		return false
	}
	if len(p.q) >= maxInFlight {
		return true
	}
	heap.Push(&p.q, packet{append([]byte(nil), data...), at, order})
	if p.q[0].order == order {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	return false
}

// deliver gives the host a packet. A device that is closed or whose host cannot
// take more loses it, as a network card does.
func (p *port) deliver(data []byte) { _, _ = p.tun.Write(data) }

// run delivers what was delayed.
func (p *port) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		for len(p.q) > 0 && !p.q[0].at.After(time.Now()) {
			p.deliver(heap.Pop(&p.q).(packet).data)
		}
		wait := time.Hour // nothing waits: until somebody wakes us
		if len(p.q) > 0 {
			wait = time.Until(p.q[0].at)
		}
		p.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-p.wake:
		case <-p.quit:
			return
		}
	}
}
