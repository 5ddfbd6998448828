package gossip

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"consul.internal/internal/fault"
	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"
)

// conflictPause is how often the same conflict is logged: it comes with every
// message of either side.
const conflictPause = time.Minute

// record is what is known of a name.
type record struct {
	meta   []byte // encoded tags that were judged good
	id     string
	addr   netip.AddrPort
	start  int64 // when its life began, by its own clock
	status Status
	watch  bool // hears of doubts
}

// guard judges who may be in the pool. The library asks it under its lock, so it
// only looks and remembers.
type guard struct {
	name  string
	id    string
	max   int
	check func(Member) error
	// watches tells by the tags who hears of doubts; nil = nobody.
	watches func(tags map[string]string) bool
	log     *zap.Logger
	// again asks for another exchange with the pool, which remembers this node
	// under an address of an earlier life.
	again chan struct{}
	// at is where others find this node; set before anybody asks.
	at netip.AddrPort

	mu     sync.Mutex
	byName map[string]*record
	byID   map[string]string // name of who has the ID
	self   int64             // latest start of this node that anybody remembers
	told   map[string]time.Time
}

func newGuard(cfg Config, check func(Member) error, log *zap.Logger) *guard {
	return &guard{
		name: cfg.Name, id: cfg.NodeID, max: cfg.MaxMembers, check: check, log: log, again: make(chan struct{}, 1),
		byName: map[string]*record{}, byID: map[string]string{}, told: map[string]time.Time{},
	}
}

var (
	_ memberlist.AliveDelegate    = (*guard)(nil)
	_ memberlist.MergeDelegate    = (*guard)(nil)
	_ memberlist.ConflictDelegate = (*guard)(nil)
)

// NotifyAlive judges every message that says that somebody lives. An error means
// that it never was.
func (g *guard) NotifyAlive(n *memberlist.Node) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	addr := netip.AddrPortFrom(toAddr(n.Addr), n.Port)
	old := g.byName[n.Name]
	if old != nil && bytes.Equal(old.meta, n.Meta) && old.addr == addr {
		return nil // judged before
	}
	m, start, err := g.judge(n)
	if err != nil {
		return err
	}
	if n.Name == g.name {
		if m.ID != g.id && addr != g.at {
			err := conflict(g.name, g.id, netip.AddrPort{}, m)
			g.complain(m, err)
			return err
		}
		if m.ID == g.id {
			g.self = max(g.self, start)
		}
		// News of who had this name and address before is answered by the library
		// with news of this node, and so ends.
		return nil
	}
	if old == nil && len(g.byName) >= g.max {
		return fault.Newf(fault.RateLimited, "the pool has %d members already; more are not taken in", g.max)
	}
	if old != nil && old.id == m.ID && start < old.start && old.addr != addr {
		return fault.Newf(fault.Conflict, "%s is news of an earlier life of %s, which is at %s now", addr, n.Name, old.addr)
	}
	if other := g.byName[g.byID[m.ID]]; other != nil && g.byID[m.ID] != n.Name && other.status == StatusAlive && other.addr != addr {
		err := fault.Newf(fault.Conflict, "member %q at %s has the node ID %s of member %q at %s; each node needs its own (remove the file node-id from the newer one's data directory)",
			n.Name, addr, m.ID, g.byID[m.ID], other.addr)
		g.complain(m, err)
		return err
	}
	if old != nil && old.id != m.ID && old.status == StatusAlive && old.addr != addr {
		return nil // the library finds the conflict and asks NotifyConflict
	}
	g.put(n.Name, &record{meta: bytes.Clone(n.Meta), id: m.ID, addr: addr, start: start, status: StatusAlive, watch: g.watches != nil && g.watches(m.Tags)}, old)
	return nil
}

// put must be called with mu held.
func (g *guard) put(name string, r, old *record) {
	if old != nil {
		if g.byID[old.id] == name {
			delete(g.byID, old.id)
		}
		r.status = old.status
		if old.status != StatusAlive {
			r.status = StatusAlive
		}
	}
	g.byName[name] = r
	g.byID[r.id] = name
}

// judge looks at one node by itself.
func (g *guard) judge(n *memberlist.Node) (Member, int64, error) {
	if err := ValidName(n.Name); err != nil {
		return Member{}, 0, err
	}
	tags := decodeTags(n.Meta)
	m := fromNode(n, tags)
	switch {
	case tags == nil || m.ID == "":
		return m, 0, fault.Newf(fault.Invalid, "member %q at %s does not say who it is", n.Name, m.AddrPort())
	case !m.Addr.IsValid() || m.Addr.IsUnspecified() || m.Addr.IsMulticast() || m.Port == 0:
		return m, 0, fault.Newf(fault.Invalid, "member %q has no usable address", n.Name)
	}
	if g.check != nil {
		if err := g.check(m); err != nil {
			return m, 0, err
		}
	}
	return m, readStamp(tags), nil
}

// NotifyMerge judges the members that another pool brings when the two meet. An
// error keeps the pools apart.
func (g *guard) NotifyMerge(nodes []*memberlist.Node) error {
	for _, n := range nodes {
		if n.State == memberlist.StateLeft || n.State == memberlist.StateDead {
			continue
		}
		m, _, err := g.judge(n)
		if err != nil {
			return err
		}
		if n.Name == g.name && m.ID != g.id && m.AddrPort() != g.at {
			err := conflict(g.name, g.id, netip.AddrPort{}, m)
			g.complain(m, err)
			return err
		}
		if n.Name != g.name && m.ID == g.id {
			return fault.Newf(fault.Conflict, "member %q at %s has this node's ID %s; each node needs its own (remove the file node-id from the newer one's data directory)",
				n.Name, m.AddrPort(), m.ID)
		}
	}
	return nil
}

// NotifyConflict is told that a living member's name is claimed at another
// address. existing is the library's own record, and it holds its lock: a node
// that moved is followed by changing the address there, since the library itself
// would wait until the old address is declared dead. Who answers probes at the new
// address is thus known to live, and the next message of it is taken.
func (g *guard) NotifyConflict(existing, other *memberlist.Node) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was, now := decodeTags(existing.Meta), decodeTags(other.Meta)
	m := fromNode(other, now)
	if m.ID == "" || m.ID != was[tagID] {
		err := conflict(existing.Name, was[tagID], netip.AddrPortFrom(toAddr(existing.Addr), existing.Port), m)
		g.complain(m, err)
		return
	}
	if existing.Name == g.name {
		select {
		case g.again <- struct{}{}:
		default:
		}
		return
	}
	start := readStamp(now)
	known := readStamp(was)
	if r := g.byName[existing.Name]; r != nil && r.addr != m.AddrPort() {
		known = max(known, r.start)
	}
	if start <= known {
		return // late news of an earlier life
	}
	g.log.Info(fmt.Sprintf("serf: %s (%s) has moved from %s to %s", existing.Name, m.ID,
		netip.AddrPortFrom(toAddr(existing.Addr), existing.Port), m.AddrPort()))
	existing.Addr, existing.Port = other.Addr, other.Port
}

func conflict(name, id string, at netip.AddrPort, m Member) error {
	where := "this node"
	if at.IsValid() {
		where = at.String()
	}
	return fault.Newf(fault.Conflict,
		"name conflict: %q is the node ID %s at %s, and the node ID %s at %s claims it too; names must be unique: give one of them another node_name",
		name, id, where, m.ID, m.AddrPort())
}

// complain logs a refusal now and then. It must be called with mu held.
func (g *guard) complain(m Member, err error) {
	key := m.Name + " " + m.ID + " " + m.Addr.String()
	now := time.Now()
	if last, ok := g.told[key]; ok && now.Sub(last) < conflictPause {
		return
	}
	if len(g.told) >= g.max {
		clear(g.told)
	}
	g.told[key] = now
	g.log.Error("serf: " + err.Error())
}

// reached notes what the pool has come to believe of a member.
func (g *guard) reached(m Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.byName[m.Name]; r != nil {
		r.status = m.Status
	}
}

// forget drops a name, and keep those that are not among the given ones.
func (g *guard) forget(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop(name)
}

func (g *guard) drop(name string) {
	if r := g.byName[name]; r != nil {
		delete(g.byName, name)
		if g.byID[r.id] == name {
			delete(g.byID, r.id)
		}
	}
}

// prune drops what is known of names that are no members.
func (g *guard) prune(members map[string]Status) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, r := range g.byName {
		status, ok := members[name]
		if !ok {
			g.drop(name)
			continue
		}
		r.status = status
	}
}

// latest is the latest start of this node that anybody remembers.
func (g *guard) latest() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.self
}

// known tells whether somebody of this name was let in.
func (g *guard) known(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return name == g.name || g.byName[name] != nil
}

// where tells where a member is, this one excepted.
func (g *guard) where(name string) (netip.AddrPort, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.byName[name]
	if r == nil {
		return netip.AddrPort{}, false
	}
	return r.addr, true
}

// watchers are the living members that hear of doubts, this one excepted.
func (g *guard) watchers() (out []watch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, r := range g.byName {
		if r.watch && r.status == StatusAlive {
			out = append(out, watch{name, r.addr})
		}
	}
	return out
}

// some are up to n living members, any but this and another one.
func (g *guard) some(n int, except string) (out []watch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, r := range g.byName { // in any order
		if len(out) == n {
			break
		}
		if r.status == StatusAlive && name != except {
			out = append(out, watch{name, r.addr})
		}
	}
	return out
}
