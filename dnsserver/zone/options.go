package zone

import (
	"context"
	"strings"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
)

// SOA are the numbers of the zone's SOA record, in seconds.
type SOA struct {
	Refresh uint32 // how often secondaries look for a new serial
	Retry   uint32 // how soon they look again after a failure
	Expire  uint32 // how long they answer without having reached us
	MinTTL  uint32 // TTL of negative answers (RFC 2308), and of the SOA record itself
}

// Options say how a zone answers. They have been checked by whoever made them.
type Options struct {
	Domain        string // such as "consul."
	AltDomain     string // a second name of the zone, or empty
	Datacenter    string // the own one
	NodeTTL       time.Duration
	PTRTTL        time.Duration            // of the names of addresses
	ServiceTTL    map[string]time.Duration // by name, by prefix ("db*"), or "*"
	SOA           SOA
	OnlyPassing   bool // leave out instances in state warning too
	ARecordLimit  int  // most addresses of a service in an answer; 0 is all
	Whole         bool // all instances, whatever limit their definition sets
	NodeMetaTXT   bool // node metadata as TXT in the additional section
	TranslateWANs bool // answer WAN addresses for other datacenters
	// LocalTimeout bounds what a name takes as long as it does not lead to another
	// datacenter; 0 is that only the context does.
	LocalTimeout time.Duration
	// Datacenters lists all that are known, the nearest first; nil is that there is
	// only the own one.
	Datacenters func() []string
	// Services lists the names of the own datacenter's services, which may be behind
	// what is; nil is that they are not told.
	Services func(context.Context) (names []string, stale bool, err error)
	// Near tells how far the nodes of the own datacenter are, by folded name; the
	// instances of a service are answered in that order, those that are as far, or of
	// which it is not known, in a random one. nil, and a function that is nil, is that
	// all are random.
	Near func() func(node string) (distance float64, known bool)
	// Execute executes prepared queries; nil is that there are none.
	Execute Execute
}

// domain is one of the zone's names, ready for comparison.
type domain struct {
	name   string   // folded, with the dot at the end
	labels []string // folded
}

func newDomain(s string) domain {
	name := catalog.Fold(dns.Fqdn(strings.TrimPrefix(s, ".")))
	return domain{name, dns.SplitDomainName(name)}
}

// ttls answers which TTL a service's records get.
type ttls struct {
	exact  map[string]uint32
	prefix map[string]uint32 // without the star; "" is the default
}

func newTTLs(m map[string]time.Duration) ttls {
	t := ttls{exact: map[string]uint32{}, prefix: map[string]uint32{}}
	for k, d := range m {
		name := catalog.Fold(k)
		if p, ok := strings.CutSuffix(name, "*"); ok {
			t.prefix[p] = seconds(d)
			continue
		}
		t.exact[name] = seconds(d)
	}
	return t
}

// of returns the TTL of a service by its folded name: an exact entry, else the
// longest prefix, else 0.
func (t *ttls) of(service string) uint32 {
	if v, ok := t.exact[service]; ok {
		return v
	}
	if len(t.prefix) == 0 {
		return 0
	}
	for n := len(service); n >= 0; n-- {
		if v, ok := t.prefix[service[:n]]; ok {
			return v
		}
	}
	return 0
}

// maxTTL is the largest TTL that resolvers take for one (RFC 2181, section 8).
const maxTTL = 1<<31 - 1

// seconds is a duration as a TTL, rounded down.
func seconds(d time.Duration) uint32 {
	s := int64(d / time.Second)
	return uint32(min(max(s, 0), maxTTL))
}
