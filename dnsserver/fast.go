package dnsserver

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"consul.internal/catalog"
	"consul.internal/dnsserver/limit"
	"consul.internal/dnsserver/table"
	"consul.internal/dnsserver/udp"
	"consul.internal/dnsserver/wire"
	"consul.internal/dnsserver/zone"
	"consul.internal/view"
)

// The fast path answers from packed bytes what has been asked before, and names
// that certainly do not exist; everything else is left to the full path, which is
// what defines an answer. After the full path has answered a question, or where its
// answer has changed since, pack makes
// its answer ready for the next who asks.

// fast is what the fast path keeps for as long as the server lives. It is nil
// where the source does not tell of changes.
type fast struct {
	source view.Pulsing
	stamps *table.Stamps
	clerks sync.Pool // *clerk, for questions that come one by one

	// sources are the datacenters that answers came from, by their number; the own
	// one is the first, with an empty name. The list grows and is replaced.
	sources atomic.Pointer[[]string]
	mu      sync.Mutex // of who lengthens it

	// packing says of some of the questions at a time that somebody packs their
	// answer: the others that have missed it need not do so too.
	packing [256]atomic.Bool
	// replies are *wire.Reply, of some KiB, for packed answers to be tried with.
	replies sync.Pool
	// never is over: who asks with it waits for nothing.
	never context.Context
}

// packed is the part of the fast path that goes with one configuration.
type packed struct {
	table    *table.Table
	negative *wire.Negative
	zone     *zone.Zone // as the live one, but for limits that apply to each answer
}

// maxSources is how many datacenters the fast path tells apart; the names of
// others take the full path.
const maxSources = 64

func newFast(src zone.Source) *fast {
	pulsing, ok := src.(view.Pulsing)
	if !ok {
		return nil
	}
	f := &fast{source: pulsing, stamps: table.NewStamps()}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.never = ctx
	f.replies.New = func() any { return &wire.Reply{} }
	f.sources.Store(&[]string{""})
	pulsing.OnChange(func(dc string, s view.Subject) {
		f.stamps.Changed(catalog.Fold(dc), uint8(s.Kind), s.Name)
	})
	return f
}

// number is a datacenter's place among the sources.
func (f *fast) number(dc string) (uint8, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := *f.sources.Load()
	for i, s := range list {
		if s == dc {
			return uint8(i), true
		}
	}
	if len(list) == maxSources {
		return 0, false
	}
	next := append(list[:len(list):len(list)], dc)
	f.sources.Store(&next)
	return uint8(len(list)), true
}

// batch is how many questions are looked up at a time.
const batch = udp.BatchSize

// clerk answers questions on the fast path, one batch at a time. It belongs to one
// goroutine.
type clerk struct {
	s       *Server
	live    *live
	now     time.Time
	own     view.Pulse
	pulses  [maxSources]view.Pulse
	asked   [maxSources]bool // the pulse has been taken for this batch
	queries [batch]wire.Query
	probes  [batch]table.Probe
	slots   [batch]int8 // where in probes a question is; below 0: nowhere
	reply   wire.Reply
	tally   tally
	scratch []byte // a question that its answer is written over, for who wants to see both
	renewed int    // answers packed anew for this batch
}

// What a clerk packs itself, since the answer it has is of a moment ago: to have that
// done by the full path costs twice as much, and the asker the wait for a goroutine.
const (
	// maxRenewed answers in a batch are; the asker behind them waits for each.
	maxRenewed = 8
	// renewable is how long an answer of few records is, in bytes: some take
	// milliseconds.
	renewable = 2048
)

func newClerk(s *Server) *clerk {
	c := &clerk{s: s}
	c.reply.Order.Shuffle = s.deps.Shuffle
	return c
}

// read looks up all questions of a batch. Every question has arrived before, so
// that what is known of the catalog now is new enough for each of them.
func (c *clerk) read(msgs [][]byte) {
	c.live, c.now = c.s.live.Load(), time.Now()
	c.own = view.Pulse{}
	clear(c.asked[:])
	c.renewed = 0
	if c.live.packed != nil {
		c.own = c.s.fast.source.Pulse("")
	}
	n := 0
	for i, m := range msgs {
		c.slots[i] = -1
		if c.own.Session == 0 || !wire.Parse(m, &c.queries[i]) {
			continue
		}
		q := &c.queries[i]
		c.probes[n].Key = q.Key[:q.KeyLen]
		c.slots[i] = int8(n)
		n++
	}
	if n > 0 {
		c.live.packed.table.Find(c.probes[:n])
	}
}

// answer turns a question of the batch, at the start of msg, into its reply. It
// returns 0, with msg as it was, for what the full path must answer, and less for
// what gets no reply.
func (c *clerk) answer(i int, msg []byte, from asker) int {
	if c.slots[i] < 0 {
		return 0
	}
	q, e := &c.queries[i], c.probes[c.slots[i]].Entry
	r := &c.reply
	guard := &c.live.cfg.Guard
	trusted := guard.trusts(from.addr)
	guarded, proven := !from.tcp && !trusted, false
	if q.CookieLen > 0 {
		cookies := c.s.guards.cookies
		proven = cookies.Valid(q.Cookie[:q.CookieLen], from.addr, c.now)
		cookies.Answer(&r.Cookie, q.Cookie[:q.CookieLen], proven, from.addr, c.now)
		guarded = guarded && !proven
	}
	capped := guarded && guard.MaxUDP > 0 && q.Size > guard.MaxUDP
	room := zone.RoomTCP(q.Type)
	if !from.tcp {
		size := q.Size
		if capped {
			size = guard.MaxUDP
		}
		room = zone.RoomUDP(size, c.live.cfg.UDPAnswerLimit)
	}
	room.Size -= q.Tail()
	r.Room, r.Serial = wire.Room(room), uint32(c.own.Index)
	r.RA = c.s.recursor.Serves(from.addr)
	r.TC = c.live.cfg.EnableTruncate || capped
	if e != nil && !c.holds(e) {
		e = c.renew(q, e)
	}
	if e != nil {
		if len(e.Answer()) == 0 {
			return 0 // it cannot be packed
		}
		a := wire.Answer(e.Answer())
		if a.Rcode() == rcodeNameError && c.s.guards.guesses(guard, q.Name(), trusted, from.addr, c.now) {
			return c.refuse(msg, q, guarded, from)
		}
		n, cut, ok := a.Write(msg, q, r)
		if !ok && !q.Lower && a.Bare() {
			n, ok = c.live.packed.negative.WriteSOA(msg, q, r, a.Rcode())
		}
		if !ok {
			return 0
		}
		c.tally.add(q, a.Rcode(), cut)
		return c.held(n, msg, q, a.Rcode(), guarded, from)
	}
	if q.Type == typeAXFR {
		return 0
	}
	label, node, ok := c.live.packed.negative.Split(q)
	if !ok {
		return 0
	}
	kind := view.KindService
	if node {
		kind = view.KindNode
	}
	if !c.s.fast.source.Lacks("", kind, label) {
		return 0
	}
	if c.s.guards.guesses(guard, q.Name(), trusted, from.addr, c.now) {
		return c.refuse(msg, q, guarded, from)
	}
	n, ok := c.live.packed.negative.Write(msg, q, r)
	if !ok {
		return 0
	}
	c.tally.add(q, rcodeNameError, false)
	return c.held(n, msg, q, rcodeNameError, guarded, from)
}

// renew packs an answer anew that does not hold any more, out of what is known: it
// waits for nothing. It returns nil where that is the full path's task.
func (c *clerk) renew(q *wire.Query, old *table.Entry) *table.Entry {
	if n := len(old.Answer()); n == 0 || n > renewable || c.renewed == maxRenewed {
		return nil
	}
	c.renewed++
	repack(c.s.fast.never, c.s, c.live, q, wire.Answer(old.Answer()).Rcode() == rcodeNameError)
	if e := entryOf(c.s, c.live, q); e != nil && c.holds(e) {
		return e
	}
	return nil
}

// refuse answers who has asked for too many names that do not exist.
func (c *clerk) refuse(msg []byte, q *wire.Query, guarded bool, from asker) int {
	n := q.Refuse(msg, &c.reply)
	if n == 0 {
		return 0
	}
	c.s.count.guesses.Add(1)
	c.tally.add(q, rcodeRefused, false)
	return c.held(n, msg, q, rcodeRefused, guarded, from)
}

// held is the length of a reply once it has been counted: that of itself, of a
// truncated one, or below 0 where none is to be sent.
func (c *clerk) held(n int, msg []byte, q *wire.Query, rcode int, guarded bool, from asker) int {
	if !guarded {
		return n
	}
	switch c.s.guards.verdict(&c.live.cfg.Guard, q.Name(), rcode, from.addr, c.now) {
	case limit.Drop:
		c.s.count.limited.Add(1)
		return -1
	case limit.Slip:
		c.s.count.limited.Add(1)
		if n = q.Truncate(msg, &c.reply, rcode); n == 0 {
			return -1
		}
	}
	return n
}

// holds reports whether what an entry's answer is made of is as it was, and known
// to be so.
func (c *clerk) holds(e *table.Entry) bool {
	m := e.Mark()
	if !c.s.fast.stamps.Holds(&m) || m.Expires != 0 && c.now.Unix() >= m.Expires {
		return false
	}
	if m.Source == 0 {
		return m.Session == c.own.Session
	}
	if !c.asked[m.Source] {
		c.asked[m.Source] = true
		c.pulses[m.Source] = c.s.fast.source.Pulse((*c.s.fast.sources.Load())[m.Source])
	}
	return m.Session == c.pulses[m.Source].Session
}

// quick answers one question into out, or returns nil where the full path must. The
// answer is empty where none is to be sent.
func (s *Server) quick(req, out []byte, from asker) (resp []byte) {
	if s.fast == nil || len(out) < len(req) {
		return nil
	}
	defer s.spare(&resp)
	c, ok := s.fast.clerks.Get().(*clerk)
	if !ok {
		c = newClerk(s)
	}
	defer s.fast.clerks.Put(c)
	one := [1][]byte{req}
	c.read(one[:])
	if c.slots[0] < 0 {
		return nil
	}
	copy(out, req)
	n := c.answer(0, out, from)
	c.countName(0, n, out, 1)
	c.tally.flush(s, c.now, 1)
	if n == 0 {
		return nil
	}
	return out[:max(n, 0)]
}

// countName counts the question of the batch that stands for all n of it, if it has
// been answered here.
func (c *clerk) countName(i, length int, reply []byte, n int) {
	if length > 0 {
		q := &c.queries[i]
		c.s.count.top.Add(q.Key[:q.KeyLen], int(reply[3]&rcodeMask), n, c.now)
	}
}

// spare is deferred by the fast path: after a bug in it the full path answers.
func (s *Server) spare(resp *[]byte) {
	if v := recover(); v != nil {
		s.panicked(v)
		*resp = nil
	}
}

// tally counts what a batch was answered, so that counters are touched once.
type tally struct {
	rcodes [maxPackedRcode + 1]uint32
	cut    uint32
	total  uint32
	types  [len(timed)]uint32
	// Of other types, and who asks for the names of addresses.
	others, reverse uint32
}

// arpa ends the names that ask who has an address.
var arpa = []byte("\x04arpa\x00")

// maxPackedRcode is above all codes of packed answers, and masks them.
const maxPackedRcode = 7

func (t *tally) add(q *wire.Query, rcode int, cut bool) {
	t.total++
	t.rcodes[rcode&maxPackedRcode]++
	if cut {
		t.cut++
	}
	if bytes.HasSuffix(q.Name(), arpa) {
		t.reverse++
		return
	}
	for i, ty := range timed {
		if ty == q.Type {
			t.types[i]++
			return
		}
	}
	t.others++
}

// flush adds what has been counted to the server's counters. The time that the
// batch of n questions took is shared among them.
func (t *tally) flush(s *Server, began time.Time, n int) {
	if t.total == 0 {
		return
	}
	for code, n := range t.rcodes {
		if n > 0 {
			s.count.rcodes[code].Add(uint64(n))
		}
	}
	if t.cut > 0 {
		s.count.truncated.Add(uint64(t.cut))
	}
	if s.timers.on {
		took := time.Since(began)
		each := took / time.Duration(n)
		s.timers.fast.ObserveN(took, int(t.total))
		for i, k := range t.types {
			s.timers.byIndex[i].ObserveN(each, int(k))
		}
		s.timers.other.ObserveN(each, int(t.others))
		s.timers.reverse.ObserveN(each, int(t.reverse))
	}
	*t = tally{}
}
