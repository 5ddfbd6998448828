package view

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// MirrorConfig says how a Mirror follows one datacenter.
type MirrorConfig struct {
	Datacenter string
	Secret     string        // the token (ACL) in whose name names are followed
	Guarded    bool          // what is known is handed on only to who follows in the name of the same token
	Wait       time.Duration // how long a question waits for what is not known yet
	Heartbeat  time.Duration // how often the servers send one
	StaleAfter time.Duration // how old what is known may be before it is called stale
	Idle       time.Duration // how long a name that nobody asks for is followed
	Pending    int           // most names that are asked for and not known yet
	RetryMax   time.Duration // longest pause between two sessions
	Connect    time.Duration // how long a server may take to open one
	// Confirm is how many times a second it is asked after names that the name index
	// lacks: who has just registered something elsewhere finds it. 0 = never.
	Confirm int
}

// DefaultMirrorConfig returns the values for an agent's own datacenter.
func DefaultMirrorConfig(datacenter string) MirrorConfig {
	return MirrorConfig{
		Datacenter: datacenter,
		Wait:       100 * time.Millisecond, // what a local DNS question may take
		Heartbeat:  200 * time.Millisecond, // as DefaultFeedConfig has it
		StaleAfter: 2 * time.Second,        // an election is over by then
		Idle:       10 * time.Minute,       // longer than the usual pause between two uses of a name
		Pending:    256,                    // more than a burst of new names, little enough to lose
		RetryMax:   time.Second,            // so that names are fresh a second after the servers are back
		Connect:    time.Second,            // the same
	}
}

// RemoteMirrorConfig returns the values for another datacenter.
func RemoteMirrorConfig(datacenter string) MirrorConfig {
	c := DefaultMirrorConfig(datacenter)
	c.Wait = 450 * time.Millisecond // what a question about another datacenter may take is 500, a busy machine included
	c.Confirm = 5                   // a person's pace; a flood of names is answered from the index
	c.Connect = 3 * time.Second     // TCP and TLS take three round trips
	return c
}

// MirrorDeps is what a Mirror works with.
type MirrorDeps struct {
	Source Source
	Budget *Budget // shared by the agent's mirrors
	Saved  Memory  // nil: nothing outlives the process
	Logger *zap.Logger
}

// Mirror knows the names of one datacenter that were asked for: it follows them
// through a Source, answers from memory, and goes on answering when the source
// is gone. It may stand wherever a Local may.
type Mirror struct {
	cfg  MirrorConfig
	deps MirrorDeps
	life context.Context // until Close
	end  context.CancelFunc
	wg   sync.WaitGroup

	shown shown
	up    uplink
	keep  keeping

	mu      sync.Mutex // guards what follows, and the entries
	entries map[Subject]*entry
	pending map[*entry]struct{} // not known yet
	index   nameIndex
	floor   Token // the most that any source has told: none may tell less of a name that is new here
	last    *held // the freshest proof of the source; nil before the first
	open    bool
	opened  bool
	count   MirrorStats
	doubts  int                        // names that the index lacks and that were asked for since doubted
	doubted time.Time                  // when doubts began to count
	relayed map[*relaySession]struct{} // of who follows it from elsewhere
}

// MirrorStats are figures about a Mirror. All but Connected, Names, Pending and
// Index only grow.
type MirrorStats struct {
	Connected bool
	Names     int // kept
	Pending   int // asked for and not known yet
	Index     int // names in the name index
	Sessions  uint64
	Events    uint64
	Refused   uint64 // questions not asked on, because too many were pending
	Timeouts  uint64 // questions that nobody answered in time
	Dropped   uint64 // events that could not be taken
}

// shown are the entries that lookups find, without a lock.
type shown struct {
	services table[string, entry]
	nodes    table[string, entry]
	addrs    table[netip.Addr, entry]
}

// held is what is known of a subject. It is never changed.
type held struct {
	service *Service
	node    *Node
	address *Address
	token   Token
	changed uint64    // index at which it last changed, as far as is known here
	asOf    time.Time // when it was known to be so
	link    *link     // the session that keeps it up to date; nil: none
}

// absent reports whether the name does not exist.
func (h *held) absent() bool { return h.service == nil && h.node == nil && h.address == nil }

// entry is one subject of a Mirror. What lookups read is atomic.
type entry struct {
	mirror    *Mirror
	subject   Subject
	held      atomic.Pointer[held] // nil: not known yet
	following atomic.Bool          // is followed, or will be with the next session
	used      atomic.Int64         // when it was last asked for, Unix seconds

	kept    bool          // followed beyond the first answer: counts in the budget
	removed bool          // no longer in the mirror
	charged bool          // counts in the budget's names and bytes, and is saved
	queued  bool          // in the outbox
	stop    bool          // the server still follows it in vain
	seq     uint64        // of the Ask on this session; 0: not asked
	waiters int           // questions that wait for an answer
	pins    int           // of those, who waits for a change: an absent name stays followed
	since   time.Time     // when it was first asked for
	news    chan struct{} // closed at the next event; nil when nobody waits
	failed  error         // why it was removed
	parts   *Event        // of an event that is not whole yet
	weight  int           // of the parts

	passages map[*passage]struct{} // who follows it from elsewhere
}

// NewMirror returns a Mirror that knows nothing and follows nothing.
func NewMirror(cfg MirrorConfig, deps MirrorDeps) (*Mirror, error) {
	if cfg.Datacenter == "" || cfg.Wait <= 0 || cfg.Heartbeat <= 0 || cfg.StaleAfter <= 0 || cfg.Idle <= 0 || cfg.Pending <= 0 || cfg.RetryMax <= 0 || cfg.Connect <= 0 {
		return nil, fault.Newf(fault.Invalid, "a mirror needs a datacenter and positive limits: %+v", cfg)
	}
	if deps.Source == nil || deps.Budget == nil || deps.Logger == nil {
		return nil, fault.Newf(fault.Invalid, "a mirror needs a source, a budget and a logger")
	}
	if deps.Saved == nil {
		deps.Saved = forgetful{}
	}
	m := &Mirror{
		cfg: cfg, deps: deps,
		entries: map[Subject]*entry{}, pending: map[*entry]struct{}{}, relayed: map[*relaySession]struct{}{},
	}
	m.keep.told = newNameSet()
	m.up.m, m.up.send = m, make(chan struct{}, 1)
	m.life, m.end = context.WithCancel(context.Background())
	m.index.entry = &entry{mirror: m, subject: Subject{Kind: KindIndex}}
	m.index.entry.following.Store(true)
	return m, nil
}

// Open loads what was saved and begins to look for a server. It waits for none.
func (m *Mirror) Open(context.Context) error {
	m.mu.Lock()
	if m.opened {
		m.mu.Unlock()
		return fault.Newf(fault.Invalid, "the mirror of %s was opened before", m.cfg.Datacenter)
	}
	m.opened, m.open = true, true
	victims := m.load()
	m.mu.Unlock()
	forget(victims)
	m.wg.Go(m.up.run)
	m.wg.Go(m.sweep)
	return nil
}

// Close ends the session and all waiting questions. What is known is answered on.
func (m *Mirror) Close() error {
	m.mu.Lock()
	m.open = false
	m.mu.Unlock()
	m.end()
	m.wg.Wait()
	return nil
}

// load takes over what was saved, as known a while ago.
func (m *Mirror) load() (victims []*entry) {
	// Whatever the clock says: nobody has confirmed it since the agent started.
	latest := time.Now().Add(-2 * m.cfg.StaleAfter)
	for _, r := range m.deps.Saved.Load(m.cfg.Datacenter) {
		h := r.held()
		if h == nil || m.entries[r.Subject] != nil {
			continue
		}
		if h.asOf.After(latest) {
			h.asOf = latest
		}
		e := m.add(r.Subject)
		delete(m.pending, e)
		e.used.Store(h.asOf.Unix())
		e.held.Store(h)
		m.keep.told.add(r.Subject.hash())
		e.charged = true
		m.shown.list(e, true)
		if m.last == nil || h.asOf.After(m.last.asOf) {
			m.last = h
			if h.token.Cluster != m.floor.Cluster {
				m.floor = h.token
			}
		}
		if h.token.Cluster == m.floor.Cluster {
			m.floor.raise(h.token)
		}
		victims = append(victims, m.deps.Budget.charge(e, h.weight())...)
	}
	return victims
}

// Service returns what is known of a service; an empty datacenter is the own one.
func (m *Mirror) Service(ctx context.Context, datacenter, name string) (*Service, State, error) {
	if err := m.own(datacenter); err != nil {
		return nil, State{}, err
	}
	name = catalog.Fold(name)
	now := time.Now()
	h := m.shown.services.load(name).answer(now)
	if h == nil {
		var err error
		if h, err = m.ask(ctx, Subject{KindService, name}); err != nil {
			return nil, m.freshness(), err
		}
		now = time.Now()
	}
	return h.service, h.state(now, m.cfg.StaleAfter), nil
}

// Node returns what is known of a node.
func (m *Mirror) Node(ctx context.Context, datacenter, name string) (*Node, State, error) {
	if err := m.own(datacenter); err != nil {
		return nil, State{}, err
	}
	name = catalog.Fold(name)
	now := time.Now()
	h := m.shown.nodes.load(name).answer(now)
	if h == nil {
		var err error
		if h, err = m.ask(ctx, Subject{KindNode, name}); err != nil {
			return nil, m.freshness(), err
		}
		now = time.Now()
	}
	return h.node, h.state(now, m.cfg.StaleAfter), nil
}

// Address returns who has an address.
func (m *Mirror) Address(ctx context.Context, datacenter string, a netip.Addr) (*Address, State, error) {
	if err := m.own(datacenter); err != nil {
		return nil, State{}, err
	}
	a = a.Unmap().WithZone("")
	now := time.Now()
	h := m.shown.addrs.load(a).answer(now)
	if h == nil {
		var err error
		if h, err = m.ask(ctx, AddressSubject(a)); err != nil {
			return nil, m.freshness(), err
		}
		now = time.Now()
	}
	return h.address, h.state(now, m.cfg.StaleAfter), nil
}

// State returns how fresh the datacenter's answers are. It is ErrNotReady
// before anything has been learned.
func (m *Mirror) State(_ context.Context, datacenter string) (State, error) {
	if err := m.own(datacenter); err != nil {
		return State{}, err
	}
	st := m.freshness()
	if st == (State{Stale: true}) {
		return st, ErrNotReady
	}
	return st, nil
}

// freshness is the state of the source; zero but for Stale when nothing was ever heard.
func (m *Mirror) freshness() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.up.link.Load(); l != nil && l.beat.Load() != nil {
		h := held{link: l}
		return h.state(time.Now(), m.cfg.StaleAfter)
	}
	if m.last == nil {
		return State{Stale: true}
	}
	return m.last.state(time.Now(), m.cfg.StaleAfter)
}

func (m *Mirror) own(datacenter string) error {
	if datacenter == "" || datacenter == m.cfg.Datacenter || catalog.EqualFold(datacenter, m.cfg.Datacenter) {
		return nil
	}
	return fault.Newf(fault.NotFound, "no datacenter %q is known here", datacenter)
}

// answer returns what is known, if it is kept up to date as well as may be.
func (e *entry) answer(now time.Time) *held {
	if e == nil || !e.following.Load() {
		return nil
	}
	h := e.held.Load()
	if h != nil {
		e.touch(now)
	}
	return h
}

// touch notes that the entry is in use. Once a second is enough, and does not
// make readers fight for the cache line.
func (e *entry) touch(now time.Time) {
	if s := now.Unix(); e.used.Load() != s {
		e.used.Store(s)
	}
}

// state says how fresh what is held is. What a session keeps up to date is as
// fresh as its last heartbeat, also after its end.
func (h *held) state(now time.Time, limit time.Duration) State {
	asOf, index := h.asOf, h.token.Index
	var session uint64
	from := ""
	if h.link != nil {
		session, from = h.link.id, h.link.peer
		if b := h.link.beat.Load(); b != nil {
			if b.asOf.After(asOf) {
				asOf = b.asOf
			}
			if h.token == (Token{}) || b.token.sameLife(h.token) {
				index = max(index, b.token.Index)
			}
		}
	}
	age := max(0, now.Sub(asOf))
	return State{Index: index, Age: age, Stale: age > limit, Session: session, From: from}
}

// resume is the token to go on with.
func (h *held) resume() Token {
	if h == nil {
		return Token{}
	}
	t := h.token
	if h.link != nil {
		if b := h.link.beat.Load(); b != nil && b.token.sameLife(t) {
			t.Index = max(t.Index, b.token.Index)
		}
	}
	return t
}

// Stats returns the present figures.
func (m *Mirror) Stats() MirrorStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.count
	st.Connected = m.up.link.Load() != nil
	st.Names, st.Pending, st.Index = len(m.entries)-len(m.pending), len(m.pending), m.index.hashes.len()
	return st
}

// errUnknown is the answer where nobody told in time.
func (c *MirrorConfig) errUnknown(s Subject, why string) error {
	return fmt.Errorf("%s of datacenter %s is not known yet, %s: %w", s, c.Datacenter, why, ErrNotReady)
}

// jitter is a random time from half of d to d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
