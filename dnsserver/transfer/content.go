package transfer

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/view"
)

const (
	labelService = "service"
	labelNode    = "node"
	labelNS      = "ns"
	// metaBinding starts the metadata that SVCB and HTTPS records are made of.
	metaBinding = "svcb-"
	// maxName is how long what stands before the domain may be: all forms of it must
	// fit a name of 255 bytes (RFC 1035, section 2.3.4).
	maxName = 100
)

// maker makes the records of the subjects of a directory that nobody else changes.
type maker struct {
	dir   *view.Directory
	zone  *zone.Zone
	names names
	read  *lookups
	// nodeTTL is that of names that spell addresses when they are asked for.
	nodeTTL uint32
}

func newMaker(opt zone.Options, may *rights) *maker {
	m := &maker{dir: view.NewDirectory(), read: &lookups{}, nodeTTL: uint32(min(opt.NodeTTL/time.Second, math.MaxInt32))}
	m.dir.SetReady()
	m.names.domain = dns.CanonicalName(strings.TrimPrefix(opt.Domain, "."))
	dc := catalog.Fold(opt.Datacenter)
	if !zone.IsKeyword(dc) && sayable(dc) {
		m.names.datacenter = dc
	}
	// All instances, in an order that stays: who has the zone has its own way of
	// choosing among records.
	opt.ARecordLimit, opt.Whole, opt.AltDomain = 0, true, ""
	opt.Datacenters, opt.Services, opt.Execute = nil, nil, nil
	seen := view.NewLocal(opt.Datacenter, m.dir).Guarded()
	seen.See(may.sight, nil)
	m.zone = zone.New(opt, reading{seen, m.read}, func(int, func(i, j int)) {})
	return m
}

// lookups are the services that were looked up for a name's records.
type lookups struct {
	mu    sync.Mutex // a resolver's targets are looked up at the same time
	names map[string]bool
}

func (l *lookups) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = map[string]bool{}
	}
	l.names[catalog.Fold(name)] = true
}

// take returns them, and forgets them.
func (l *lookups) take() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.names
	l.names = nil
	return out
}

// reading notes which services records are made of.
type reading struct {
	*view.Local
	lookups *lookups
}

func (r reading) Service(ctx context.Context, datacenter, name string) (*view.Service, view.State, error) {
	r.lookups.add(name)
	return r.Local.Service(ctx, datacenter, name)
}

// sayable reports whether a folded name can stand in a zone without escapes.
func sayable(name string) bool {
	if _, ok := dns.IsDomainName(name); !ok || len(name) > maxName || name == "" || name[0] == '.' || name[len(name)-1] == '.' {
		return false
	}
	return !strings.ContainsFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	})
}

// soa is the SOA record; its serial is the index that the directory holds.
func (m *maker) soa() *dns.SOA {
	r := m.ask(m.names.domain, dns.TypeSOA)
	for _, rr := range r.Answer {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa
		}
	}
	return nil
}

func (m *maker) ask(owner string, qtype uint16) zone.Reply {
	return m.zone.Answer(context.Background(), m.zone.Parse(owner), qtype)
}

// apex is the records of the domain itself, but for the SOA record, and of the
// primary master that it names. A zone without NS records is none.
func (m *maker) apex() *block {
	b := &block{}
	ns := labelNS + "." + m.names.domain
	m.add(b, m.names.domain, dns.TypeNS)
	if len(b.records) == 0 {
		if r, ok := pack(&dns.NS{Hdr: dns.RR_Header{Name: m.names.domain, Rrtype: dns.TypeNS, Class: dns.ClassINET}, Ns: ns}); ok {
			b.records = append(b.records, r)
		}
	}
	m.add(b, ns, dns.TypeA)
	m.add(b, ns, dns.TypeAAAA)
	return b.done()
}

func (m *maker) node(name string) *block {
	b := &block{}
	n := m.dir.Node(name)
	if n == nil || !sayable(name) {
		return nil
	}
	owner := name + "." + labelNode + "." + m.names.domain
	if p := m.zone.Parse(owner); p.Kind != zone.Node || p.Label != name || p.Datacenter != "" {
		return nil
	}
	if m.add(b, owner, dns.TypeA) { // an alias has nothing beside it
		return b.done()
	}
	m.add(b, owner, dns.TypeAAAA)
	if len(n.Node.Meta) > 0 {
		m.add(b, owner, dns.TypeTXT)
	}
	return b.done()
}

func (m *maker) service(name string) *block {
	svc := m.dir.Service(name)
	if svc == nil || !sayable(name) || strings.Contains(name, ".") {
		return nil
	}
	b := &block{}
	tags := map[string]bool{"": true}
	text, bindings := false, false
	for _, i := range svc.Instances {
		for _, tag := range i.Service.Tags {
			tags[catalog.Fold(tag)] = true
		}
		text = text || len(i.Service.Meta) > 0
		for k := range i.Service.Meta {
			bindings = bindings || strings.HasPrefix(k, metaBinding)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		owner := name + "." + labelService + "." + m.names.domain
		if tag != "" {
			owner = tag + "." + owner
		}
		p := m.zone.Parse(owner)
		if p.Kind != zone.Service || p.Label != name || p.Tag != tag || p.Port != 0 || p.Datacenter != "" || tag != "" && !sayable(tag) {
			continue
		}
		if m.add(b, owner, dns.TypeA) {
			continue
		}
		m.add(b, owner, dns.TypeAAAA)
		m.add(b, owner, dns.TypeSRV)
		if text {
			m.add(b, owner, dns.TypeTXT)
		}
		if bindings {
			m.add(b, owner, dns.TypeSVCB)
			m.add(b, owner, dns.TypeHTTPS)
		}
	}
	return b.done()
}

// add appends the records that a question for the name is answered with, and what
// their targets need. It reports whether the name is an alias.
func (m *maker) add(b *block, owner string, qtype uint16) (alias bool) {
	r := m.ask(owner, qtype)
	if r.Rcode != dns.RcodeSuccess {
		return false
	}
	for _, rr := range r.Answer {
		h := rr.Header()
		if catalog.Fold(h.Name) != owner || h.Rrtype != qtype && h.Rrtype != dns.TypeCNAME {
			continue
		}
		h.Name = owner
		if packed, ok := pack(rr); ok {
			b.records = append(b.records, packed)
			alias = alias || h.Rrtype == dns.TypeCNAME
		}
	}
	for _, rr := range r.Extra {
		h := rr.Header()
		if h.Rrtype != dns.TypeA && h.Rrtype != dns.TypeAAAA || m.zone.Parse(h.Name).Kind != zone.Addr {
			continue
		}
		h.Name, h.Ttl = catalog.Fold(h.Name), m.nodeTTL
		if packed, ok := pack(rr); ok {
			b.targets = append(b.targets, packed)
		}
	}
	return alias
}

// done makes a block fit to be kept; one without records is none.
func (b *block) done() *block {
	if len(b.records) == 0 {
		return nil
	}
	b.records, b.targets = sorted(b.records), sorted(b.targets)
	return b
}
