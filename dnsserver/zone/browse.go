package zone

import (
	"encoding/hex"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/view"
)

// The labels of DNS-SD (RFC 6763).
const (
	labelUDP      = "_udp"
	labelDNSSD    = "_dns-sd"
	labelServices = "_services" // what kinds of services there are (section 9)
)

// maxLabel is the longest label of a name (RFC 1035, section 2.3.4).
const maxLabel = 63

// parseBrowse reads the names that DNS-SD begins with, and those of instances that
// it ends with: _services._dns-sd._udp, b._dns-sd._udp, <instance>._<service>._tcp.
func (n *Name) parseBrowse(labels []string) bool {
	last := len(labels) - 1
	switch {
	case len(labels) >= 3 && labels[2] == labelTCP && len(labels[1]) > 1 && labels[1][0] == '_':
		dc, ok := parseLocality(labels[3:])
		if !ok {
			return false
		}
		n.Kind, n.Datacenter, n.SRVOnly = Service, dc, true
		n.Instance, n.Label = labels[0], labels[1][1:]
	case labels[last] != labelUDP || last > 2:
		return false
	case last == 0:
		n.Kind = Empty
	case labels[last-1] != labelDNSSD:
		return false
	case last == 1:
		n.Kind = Empty
	case labels[0] == labelServices, labels[0] == "b", labels[0] == "db", labels[0] == "lb":
		n.Kind, n.Label = Browse, labels[0]
	}
	return true
}

// browse answers what kinds of services there are, or in which domain to look for
// them: this one.
func browse(q *query) Reply {
	if q.qtype != dns.TypePTR && q.qtype != dns.TypeANY {
		return q.nodata()
	}
	ptr := func(target string, ttl uint32) dns.RR {
		return &dns.PTR{Hdr: header(q.name.Owner, dns.TypePTR, ttl), Ptr: target}
	}
	if q.name.Label != labelServices {
		return Reply{Answer: []dns.RR{ptr(q.name.Domain, q.z.nodeTTL)}}
	}
	if q.z.opt.Services == nil {
		return q.nodata()
	}
	names, stale, err := q.z.opt.Services(q.ctx)
	if err != nil {
		return q.failed(err)
	}
	q.stale = q.stale || stale
	var r Reply
	seen := newSeenOf[string](len(names))
	ttl := q.z.ttls.of("") // as of any service
	for _, name := range names {
		label := "_" + name
		if len(r.Answer) > maxAnswers { // one more than any message takes
			break
		}
		if len(label) <= maxLabel && catalog.ValidDNSLabel(name) && seen.add(catalog.Fold(name)) {
			r.Answer = append(r.Answer, ptr(label+"."+labelTCP+"."+q.name.Domain, ttl))
		}
	}
	if len(r.Answer) == 0 {
		return q.nodata()
	}
	return r
}

// instances answers _<service>._tcp with the names of the instances, and with what
// is asked about them next (RFC 6763, section 12.1).
func instances(q *query) Reply {
	svc, reply, ok := browsed(q)
	if !ok {
		return reply
	}
	insts := q.z.healthy(svc, "")
	if len(insts) == 0 {
		return q.missing()
	}
	q.limit = limitOf(insts)
	ttl := ttlOf(insts, q.z.ttls.of(q.name.Label))
	var r Reply
	seen := newSeenOf[string](len(insts))
	for _, i := range insts {
		target := sendable(instanceLabel(i) + "." + q.name.Owner)
		if target == "" || !seen.add(catalog.Fold(target)) {
			continue
		}
		if len(r.Answer) > maxSRV || q.limit > 0 && len(r.Answer) == q.limit {
			break
		}
		r.Answer = append(r.Answer, &dns.PTR{Hdr: header(q.name.Owner, dns.TypePTR, ttl), Ptr: target})
		if len(r.Extra) < maxExtra {
			sub := *q
			sub.name.Owner = target
			one := sub.srv([]*catalog.Instance{i}, ttl)
			r.Extra = append(r.Extra, one.Answer...)
			for _, rr := range one.Extra {
				if text := rr.Header().Rrtype == dns.TypeTXT; !text && seen.add(rr.String()) {
					r.Extra = append(r.Extra, rr)
				}
			}
			r.Extra = append(r.Extra, instanceText(target, i, ttl))
		}
	}
	if len(r.Answer) == 0 {
		return q.nodata()
	}
	return r
}

// instance answers for the name of one instance.
func instance(q *query) Reply {
	svc, reply, ok := browsed(q)
	if !ok {
		return reply
	}
	insts := slices.DeleteFunc(q.z.healthy(svc, ""), func(i *catalog.Instance) bool {
		return !catalog.EqualFold(instanceName(i), q.name.Instance)
	})
	if len(insts) == 0 {
		return q.missing()
	}
	ttl := ttlOf(insts, q.z.ttls.of(q.name.Label))
	text := instanceText(q.name.Owner, insts[0], ttl)
	switch q.qtype {
	case dns.TypeSRV:
		return q.srv(insts[:1], ttl)
	case dns.TypeTXT:
		return Reply{Answer: []dns.RR{text}}
	case dns.TypeANY:
		r := q.srv(insts[:1], ttl)
		if len(r.Answer) == 0 {
			return Reply{Answer: []dns.RR{text}}
		}
		r.Answer = append(r.Answer, text)
		return r
	}
	return q.nodata()
}

// browsed is the service that a name of DNS-SD is about; not ok if there is a
// reply already.
func browsed(q *query) (*view.Service, Reply, bool) {
	svc, st, err := q.z.src.Service(q.ctx, q.name.Datacenter, q.name.Label)
	if err != nil {
		return nil, q.failed(err), false
	}
	q.note(st)
	return svc, Reply{}, true
}

// instanceName is what people see of an instance: <ID> on <node>, or of a longer
// one its beginning and a number that tells it from others.
func instanceName(i *catalog.Instance) string {
	name := i.Service.ID + " on " + i.Node.Name
	if len(name) <= maxLabel {
		return name
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(catalog.Fold(name))) // never fails
	sum := hex.EncodeToString(h.Sum(nil))
	return name[:maxLabel-len(sum)-1] + "-" + sum
}

// instanceLabel is the same in presentation format.
func instanceLabel(i *catalog.Instance) string {
	return strings.ReplaceAll(escape(instanceName(i)), ".", `\.`)
}

// instanceText is the one TXT record that an instance has: an empty string if there
// is no metadata (RFC 6763, section 6.1). What is too long for a string is left out.
func instanceText(owner string, i *catalog.Instance, ttl uint32) dns.RR {
	txt := &dns.TXT{Hdr: header(owner, dns.TypeTXT, ttl)}
	for _, k := range slices.Sorted(maps.Keys(i.Service.Meta)) {
		if s := k + "=" + i.Service.Meta[k]; len(s) <= maxString && k != "" && !strings.Contains(k, "=") {
			txt.Txt = append(txt.Txt, escapeText.Replace(s))
		}
	}
	if len(txt.Txt) == 0 {
		txt.Txt = []string{""}
	}
	return txt
}
