package dnsserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/table"
	"consul.internal/dnsserver/wire"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

const (
	typeAXFR       = dns.TypeAXFR
	rcodeNameError = dns.RcodeNameError
	rcodeRefused   = dns.RcodeRefused
	// plainOPT is the length of an OPT record without options.
	plainOPT = 11
)

// packable are the types whose answers are kept: what is asked in earnest. All
// others could be any number.
var packable = [...]uint16{
	dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeANY, dns.TypeTXT, dns.TypeCNAME, dns.TypePTR,
	dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeHTTPS, dns.TypeSVCB,
}

// newPacked is the fast path of a configuration; nil where it has none.
func newPacked(s *Server, cfg *Config, opt zone.Options) *packed {
	if s.fast == nil || cfg.DisableCompression {
		return nil
	}
	fold := func(d string) string { return catalog.Fold(dns.Fqdn(strings.TrimPrefix(d, "."))) }
	dc := catalog.Fold(cfg.Datacenter)
	z := wire.Zone{
		Domains:  []string{fold(cfg.Domain)},
		Services: []string{"service", "service." + dc, "service." + dc + ".dc"},
		Nodes:    []string{"node", "node." + dc, "node." + dc + ".dc"},
		Words:    []string{"service", "node", "addr", "query", "connect", "virtual", "ingress", "dc", "ns"},
		TTL:      cfg.SOA.MinTTL, Refresh: cfg.SOA.Refresh, Retry: cfg.SOA.Retry, Expire: cfg.SOA.Expire, Minimum: cfg.SOA.MinTTL,
	}
	if cfg.AltDomain != "" {
		z.Domains = append(z.Domains, fold(cfg.AltDomain))
	}
	negative, err := wire.NewNegative(z)
	if err != nil {
		return nil // a domain that no plain name can stand in
	}
	opt.ARecordLimit = 0
	return &packed{
		table:    table.New(table.DefaultConfig()),
		negative: negative,
		zone:     zone.New(opt, s.deps.Source, func(int, func(i, j int)) {}),
	}
}

// recorder is a source that notes what an answer is made of.
type recorder struct {
	zone.Source
	f        *fast
	mu       sync.Mutex // several things may be asked for at once
	own      string     // datacenter
	mark     table.Mark
	asked    int  // things that the answer is made of
	found    bool // the thing exists
	bad      bool // the answer cannot be kept
	shuffled int  // instances that were put in order
}

// Shuffle leaves the order as it is.
func (r *recorder) shuffle(n int, _ func(i, j int)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shuffled += n
}

func (r *recorder) begin(dc string, s view.Subject) {
	number, ok := r.f.number(dc)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if !ok || r.asked > 1 {
		r.bad = true
		return
	}
	r.mark.Source = number
	r.mark.Dep, r.mark.Stamp = r.f.stamps.Of(dc, uint8(s.Kind), s.Name)
	if touch := r.f.source.Pulse(dc).Touch; touch > 0 {
		r.mark.Expires = time.Now().Add(touch).Unix()
	}
}

func (r *recorder) end(found bool, st view.State, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mark.Session, r.found = st.Session, found
	if err != nil || st.Stale || st.Session == 0 {
		r.bad = true
	}
}

// Service implements zone.Source.
func (r *recorder) Service(ctx context.Context, dc, name string) (*view.Service, view.State, error) {
	r.begin(r.place(dc), view.Subject{Kind: view.KindService, Name: catalog.Fold(name)})
	v, st, err := r.Source.Service(ctx, dc, name)
	r.end(v != nil, st, err)
	return v, st, err
}

// Node implements zone.Source.
func (r *recorder) Node(ctx context.Context, dc, name string) (*view.Node, view.State, error) {
	r.begin(r.place(dc), view.Subject{Kind: view.KindNode, Name: catalog.Fold(name)})
	v, st, err := r.Source.Node(ctx, dc, name)
	r.end(v != nil, st, err)
	return v, st, err
}

// Address implements zone.Source.
func (r *recorder) Address(ctx context.Context, dc string, a netip.Addr) (*view.Address, view.State, error) {
	r.begin(r.place(dc), view.AddressSubject(a))
	v, st, err := r.Source.Address(ctx, dc, a)
	r.end(v != nil, st, err)
	return v, st, err
}

// place is a datacenter as the fast path calls it. The zone gives folded names.
func (r *recorder) place(dc string) string {
	if catalog.EqualFold(dc, r.own) {
		return ""
	}
	return dc
}

// learn packs the answer to a question that the full path has just answered, if
// it is one that can be packed.
func learn(s *Server, req []byte, nameError bool) {
	live := s.live.Load()
	if live.packed == nil {
		return
	}
	var q wire.Query
	if !wire.Parse(req, &q) || !slices.Contains(packable[:], q.Type) {
		return
	}
	if e := entryOf(s, live, &q); e != nil && len(e.Answer()) == 0 {
		return // it has been tried
	}
	ctx, cancel := context.WithTimeout(s.ctx, live.cfg.Limits.QueryTimeout)
	defer cancel()
	defer s.spare(new([]byte))
	repack(ctx, s, live, &q, nameError)
}

// repack packs the answer to a question, if nobody does so already.
func repack(ctx context.Context, s *Server, live *live, q *wire.Query, nameError bool) {
	turn := &s.fast.packing[binary.BigEndian.Uint16(q.Key[max(0, q.KeyLen/2-2):])%uint16(len(s.fast.packing))]
	if !turn.CompareAndSwap(false, true) {
		return
	}
	defer turn.Store(false)
	p := &packer{ctx: ctx, s: s, live: live, q: q, name: q.Text()}
	answer, mark, ok := p.pack(nameError)
	if !ok {
		return
	}
	// What cannot be kept is answered by the full path as before.
	_ = live.packed.table.Put(q.Key[:q.KeyLen], answer, mark, s.fast.stamps.Current)
}

// entryOf is the entry of a question, if it still holds.
func entryOf(s *Server, live *live, q *wire.Query) *table.Entry {
	probe := [1]table.Probe{{Key: q.Key[:q.KeyLen]}}
	live.packed.table.Find(probe[:])
	e := probe[0].Entry
	if e == nil || !s.fast.stamps.Current(e) || e.Mark().Expires != 0 && time.Now().Unix() >= e.Mark().Expires {
		return nil
	}
	return e
}

var errNotPacked = fault.Newf(fault.Invalid, "the answer has a form that is not packed")

// packer makes one packed answer.
type packer struct {
	ctx  context.Context
	s    *Server
	live *live
	q    *wire.Query
	name string // in lower case
}

// pack makes the answer. One that cannot be packed is empty, so that nobody tries
// again before it has changed; it is not ok where nothing is to be kept.
func (p *packer) pack(nameError bool) (wire.Answer, table.Mark, bool) {
	none := table.Mark{}
	rec := &recorder{Source: p.s.deps.Source, f: p.s.fast, own: p.live.cfg.Datacenter}
	z := p.live.packed.zone.With(rec, rec.shuffle)
	name := z.Parse(p.name)
	switch name.Kind {
	case zone.Service, zone.Node, zone.Reverse, zone.Empty:
	default:
		return nil, none, false
	}
	if name.Datacenter == "any" || name.Datacenter == "all" {
		return nil, none, false // datacenters come and go
	}
	if nameError && (z.Remote(name) || p.absent()) {
		return nil, none, false // of what does not exist there could be any number
	}
	a := z.AnswerTo(p.ctx, name, p.q.Type, netip.Addr{})
	if a.Err != nil || a.Stale || a.Scoped || !a.Authoritative {
		return nil, none, false
	}
	if rec.bad && rec.found && len(a.Answer) > 0 {
		mark := rec.mark
		mark.Expires = time.Now().Add(retry).Unix()
		return nil, mark, true
	}
	if rec.bad {
		return nil, none, false
	}
	switch {
	case rec.asked == 0:
		if name.Kind != zone.Empty || z.Remote(name) {
			return nil, none, false
		}
		// Names that are nothing but words hold by no thing in the catalog.
		rec.mark.Dep, rec.mark.Stamp = p.s.fast.stamps.Of("", uint8(view.KindIndex), "")
		rec.mark.Session = p.s.fast.source.Pulse("").Session
	case a.Rcode == dns.RcodeNameError:
		if !rec.found || name.Tag != "" || name.Port != 0 || name.Instance != "" || name.Kind == zone.Reverse {
			return nil, none, false
		}
	case a.Rcode != dns.RcodeSuccess:
		return nil, none, false
	}
	if rec.mark.Session == 0 {
		return nil, none, false
	}
	answer, ok := p.shape(name.Kind, &a, rec.shuffled)
	if !ok {
		answer = nil
	}
	return answer, rec.mark, len(a.Answer) > 0 || ok
}

// retry is how soon it is tried again to pack what is made of several things. Their
// packing costs as much as their answer, once in so long.
const retry = 2 * time.Second

// absent reports whether the question is about a name that certainly does not exist.
func (p *packer) absent() bool {
	label, node, ok := p.live.packed.negative.Split(p.q)
	kind := view.KindService
	if node {
		kind = view.KindNode
	}
	return ok && p.s.fast.source.Lacks("", kind, label)
}

// shape packs an answer in the form that fits it, and checks that it says the same
// as the library would.
func (p *packer) shape(kind zone.Kind, a *zone.Reply, shuffled int) (answer wire.Answer, ok bool) {
	var err error
	several := kind == zone.Service && len(a.Answer) > 1
	switch {
	case a.Limited:
		return nil, false // who is left out is drawn for each reply
	case several && p.live.cfg.NearestFirst:
		return nil, false // the order is no matter of the service alone
	case several && shuffled != len(a.Answer):
		// Some instances have no record, or several the same: a fair order of the
		// instances is none of the records.
		return nil, false
	case kind == zone.Service && p.q.Type == dns.TypeSRV && len(a.Answer) > 0:
		answer, err = p.targets(a)
	case kind == zone.Service && (p.q.Type == dns.TypeA || p.q.Type == dns.TypeAAAA) && p.uniform(a):
		answer, err = p.addresses(a)
	case several:
		return nil, false
	default:
		answer, err = p.static(a)
	}
	if err != nil || answer == nil {
		return nil, false
	}
	if len(a.Answer) <= sample || !several {
		return answer, p.agrees(answer, a)
	}
	some := firstOf(a, sample)
	part := p.targets
	if p.q.Type != dns.TypeSRV {
		part = p.addresses
	}
	trial, err := part(some)
	return answer, err == nil && p.agrees(trial, some)
}

// sample is how many records of a large answer are checked: those of one form are
// alike, and names at the end of a long message point nowhere.
const sample = 32

// firstOf is an answer with its first n records, and what is known of their targets.
func firstOf(a *zone.Reply, n int) *zone.Reply {
	b := *a
	b.Answer, b.Extra = a.Answer[:n], nil
	targets := map[string]bool{}
	for _, rr := range b.Answer {
		if srv, is := rr.(*dns.SRV); is {
			targets[srv.Target] = true
		}
	}
	for _, rr := range a.Extra {
		if targets[rr.Header().Name] {
			b.Extra = append(b.Extra, rr)
		}
	}
	return &b
}

// uniform reports whether an answer is addresses alone.
func (p *packer) uniform(a *zone.Reply) bool {
	return len(a.Answer) > 0 && len(a.Ns) == 0 && len(a.Extra) == 0 &&
		!slices.ContainsFunc(a.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype != p.q.Type })
}

func (p *packer) addresses(a *zone.Reply) (wire.Answer, error) {
	out := wire.Addresses{Flags: wire.FlagAA, Most: p.live.cfg.ARecordLimit}
	for _, rr := range a.Answer {
		r, err := packRR(rr, p.name)
		if err != nil {
			return nil, err
		}
		out.Records = append(out.Records, r)
	}
	return out.Pack()
}

// packRR packs a record whose owner is the question's name, which becomes a pointer.
func packRR(rr dns.RR, owner string) ([]byte, error) {
	if rr.Header().Name != owner {
		return nil, errNotPacked
	}
	b, err := packPlain(rr)
	if err != nil {
		return nil, err
	}
	return append([]byte{0xC0, headerLen}, b...), nil
}

// packPlain packs a record without its owner, and with the names in it in full.
func packPlain(rr dns.RR) ([]byte, error) {
	b := make([]byte, dns.Len(rr)+1)
	n, err := dns.PackRR(rr, b, 0, nil, false)
	if err != nil {
		return nil, err
	}
	_, at, err := dns.UnpackDomainName(b, 0)
	return b[at:n], err
}

// targets packs an SRV answer whose targets all have addresses in it.
func (p *packer) targets(a *zone.Reply) (wire.Answer, error) {
	out := wire.Targets{Flags: wire.FlagAA, Lower: true}
	groups := map[string]int{} // by target
	folded := map[string]bool{}
	for _, rr := range a.Answer {
		srv, is := rr.(*dns.SRV)
		if !is {
			return nil, errNotPacked
		}
		r, err := packRR(rr, p.name)
		if err != nil {
			return nil, err
		}
		g, known := groups[srv.Target]
		if !known {
			fold := catalog.Fold(srv.Target)
			if folded[fold] {
				return nil, errNotPacked // one name in two spellings
			}
			folded[fold] = true
			g = len(groups)
			groups[srv.Target] = g
			out.Groups = append(out.Groups, wire.Group{})
		}
		out.Records = append(out.Records, wire.Target{Record: r, Group: g})
	}
	for _, rr := range a.Extra {
		g, known := groups[rr.Header().Name]
		if !known {
			return nil, errNotPacked
		}
		b, err := packPlain(rr)
		if err != nil {
			return nil, err
		}
		switch rr.Header().Rrtype {
		case dns.TypeA, dns.TypeAAAA:
			out.Groups[g].Addresses = append(out.Groups[g].Addresses, b)
		case dns.TypeTXT:
			out.Groups[g].Texts = append(out.Groups[g].Texts, b)
		default:
			return nil, errNotPacked
		}
	}
	for _, g := range out.Groups {
		if len(g.Addresses) == 0 {
			return nil, errNotPacked // recursors may know some
		}
	}
	return out.Pack()
}

// static packs an answer whose records have one order.
func (p *packer) static(a *zone.Reply) (wire.Answer, error) {
	for _, rr := range a.Answer {
		if rr.Header().Rrtype == dns.TypeCNAME {
			return nil, errNotPacked // recursors may know where it leads
		}
	}
	m := p.message(a)
	size := m.Len()
	b, err := m.Pack()
	if err != nil {
		return nil, err
	}
	m.Compress = false
	plain := m.Len()
	m.Compress = true
	out := wire.Static{
		Flags: wire.FlagAA | uint16(a.Rcode), Lower: !nameless(a),
		Answers: len(a.Answer), Ns: len(a.Ns), Extra: len(a.Extra),
		Body: b[p.question():], Plain: plain, Size: size, Serial: -1,
	}
	if len(a.Ns) > 0 {
		soa, is := a.Ns[0].(*dns.SOA)
		if !is || len(a.Ns) > 1 {
			return nil, errNotPacked
		}
		// The serial is where a message with another one differs.
		other := *soa
		other.Serial = ^soa.Serial
		m.Ns = []dns.RR{&other}
		c, err := m.Pack()
		if err != nil {
			return nil, err
		}
		for i := range b {
			if b[i] != c[i] {
				out.Serial = i - p.question()
				break
			}
		}
	}
	return out.Pack()
}

// nameless reports whether no record of an answer has a name in it but the
// question's, so that nothing depends on how the question spells that.
func nameless(a *zone.Reply) bool {
	for _, list := range [][]dns.RR{a.Answer, a.Ns, a.Extra} {
		for _, rr := range list {
			switch rr.Header().Rrtype {
			case dns.TypeA, dns.TypeAAAA, dns.TypeTXT:
			default:
				return false
			}
			if rr.Header().Name != a.Answer[0].Header().Name {
				return false
			}
		}
	}
	return len(a.Answer) > 0
}

// question is where a message's question ends.
func (p *packer) question() int { return headerLen + len(p.q.Name()) + 4 }

// message is the reply as the full path would make it.
func (p *packer) message(a *zone.Reply) *dns.Msg {
	m := &dns.Msg{Compress: true, Question: []dns.Question{{Name: p.name, Qtype: p.q.Type, Qclass: dns.ClassINET}}}
	m.Response, m.Authoritative, m.Rcode = true, true, a.Rcode
	m.Answer, m.Ns, m.Extra = a.Answer, a.Ns, a.Extra
	return m
}

// agrees compares what is written for a question with what the library packs, in
// the order of the catalog and the other way round.
func (p *packer) agrees(answer wire.Answer, a *zone.Reply) bool {
	reverse := func(n int, swap func(i, j int)) {
		for i := range n / 2 {
			swap(i, n-1-i)
		}
	}
	keep := func(int, func(i, j int)) {}
	if len(a.Answer) < 2 || len(a.Ns) > 0 || p.q.Type == dns.TypeANY || p.q.Type == dns.TypeTXT {
		return p.same(answer, a, keep)
	}
	if !p.same(answer, a, keep) {
		return false
	}
	b := *a
	b.Answer = slices.Clone(a.Answer)
	slices.Reverse(b.Answer)
	b.Extra = nil
	seen := map[string]bool{}
	for _, rr := range b.Answer {
		srv, is := rr.(*dns.SRV)
		if !is || seen[srv.Target] {
			continue
		}
		seen[srv.Target] = true
		for _, e := range a.Extra {
			if e.Header().Name == srv.Target {
				b.Extra = append(b.Extra, e)
			}
		}
	}
	return p.same(answer, &b, reverse)
}

func (p *packer) same(answer wire.Answer, a *zone.Reply, order zone.Shuffle) bool {
	want, err := p.message(a).Pack()
	if err != nil || len(want) > 1<<14 {
		return false
	}
	serial := uint32(0)
	if len(a.Ns) == 1 {
		if soa, is := a.Ns[0].(*dns.SOA); is {
			serial = soa.Serial
		}
	}
	if most := p.live.cfg.ARecordLimit; most > 0 && most < len(a.Answer) && p.q.Type != dns.TypeSRV {
		// The reply has fewer records than there are; the rest is cut off it.
		m := p.message(a)
		m.Answer = a.Answer[:most]
		if want, err = m.Pack(); err != nil {
			return false
		}
	}
	q := *p.q
	q.EDNS, q.Flags, q.Lower = false, 0, true
	got := make([]byte, len(want)+plainOPT)
	copy(got, want[:p.question()])
	r := p.s.fast.replies.Get().(*wire.Reply)
	defer p.s.fast.replies.Put(r)
	r.Serial, r.Room, r.Order.Shuffle = serial, wire.Room{Size: 1 << 16, Answers: wire.MaxRecords}, order
	n, cut, ok := answer.Write(got, &q, r)
	return ok && !cut && bytes.Equal(got[:n], want)
}
