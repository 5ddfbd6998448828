package transfer

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// kind says what a record is about, and so under which further names it stands.
type kind byte

const (
	kindApex    kind = 'x'
	kindService kind = 's'
	kindNode    kind = 'n'
	kindAddr    kind = 'a' // a name that spells an address, which SRV records point to
)

// record is one record as in a message, uncompressed, under the shortest of its
// names: a string takes a fraction of what a dns.RR does, and can be compared.
type record string

func pack(rr dns.RR) (record, bool) {
	buf := make([]byte, dns.Len(rr)+1) // Len may count one too few for the root
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	return record(buf[:max(n, 0)]), err == nil
}

// unpack never fails for what pack made.
func (r record) unpack() dns.RR {
	rr, _, err := dns.UnpackRR([]byte(r), 0)
	if err != nil {
		return nil
	}
	return rr
}

// block is the records of one subject, sorted. It is never changed.
type block struct {
	records []record
	targets []record // of kindAddr, that others may have as well; sorted
	refs    int      // of kindAddr: how many blocks have it
}

// difference tells what two sorted lists do not have in common.
func difference(old, next []record) (gone, come []record) {
	for len(old) > 0 || len(next) > 0 {
		switch {
		case len(next) == 0 || len(old) > 0 && old[0] < next[0]:
			gone, old = append(gone, old[0]), old[1:]
		case len(old) == 0 || next[0] < old[0]:
			come, next = append(come, next[0]), next[1:]
		default:
			old, next = old[1:], next[1:]
		}
	}
	return gone, come
}

// names are those that a record stands under: as it is, with the datacenter, and
// SRV records in the form of RFC 2782 too.
type names struct {
	domain     string // canonical
	datacenter string // folded; "" if a name with it would be read as something else
}

func (n *names) each(k kind, r record, yield func(dns.RR) bool) bool {
	rr := r.unpack()
	if rr == nil {
		return true
	}
	if !yield(rr) {
		return false
	}
	if k != kindService && k != kindNode {
		return true
	}
	owner := rr.Header().Name
	if !n.withDatacenter(rr, owner, k, yield) {
		return false
	}
	if rr.Header().Rrtype != dns.TypeSRV {
		return true
	}
	what, _, _ := strings.Cut(owner, "."+labelService+".")
	labels := strings.Split(what, ".")
	proto := "tcp"
	switch {
	case len(labels) > 2:
		return true
	case len(labels) == 2:
		proto = labels[0]
		if proto == "tcp" || strings.HasPrefix(proto, "_") {
			return true
		}
	}
	owner = "_" + labels[len(labels)-1] + "._" + proto + "." + labelService + "." + n.domain
	return yield(under(rr, owner)) && n.withDatacenter(rr, owner, k, yield)
}

func (n *names) withDatacenter(rr dns.RR, owner string, k kind, yield func(dns.RR) bool) bool {
	if n.datacenter == "" {
		return true
	}
	label := labelService
	if k == kindNode {
		label = labelNode
	}
	what := strings.TrimSuffix(owner, "."+label+"."+n.domain)
	return yield(under(rr, what+"."+label+"."+n.datacenter+"."+n.domain))
}

// under is a copy of a record with another name.
func under(rr dns.RR, owner string) dns.RR {
	c := dns.Copy(rr)
	c.Header().Name = owner
	return c
}

func sorted(rs []record) []record {
	slices.Sort(rs)
	return slices.Clip(slices.Compact(rs))
}
