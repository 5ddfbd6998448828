package dnsserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/observe"
	"consul.internal/dnsserver/recurse"
	"consul.internal/dnsserver/transfer"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
)

// Config says where and how the server answers. All but Addrs, Domain,
// AltDomain, Datacenter and Limits can change while it runs.
type Config struct {
	Addrs      []string // host:port, each served over UDP and TCP; port 0 takes a free one
	TLSAddrs   []string // the same for DNS over TLS; none is that it is off
	Domain     string   // the zone
	AltDomain  string   // a second name of the zone, or empty
	Datacenter string   // the own one

	NodeTTL    time.Duration            // of nodes, .addr names and NS records
	PTRTTL     time.Duration            // of the names of addresses
	ServiceTTL map[string]time.Duration // of services by name, by "prefix*", or "*"
	SOA        SOA

	EnableTruncate              bool // say so (TC) when records were left out
	UDPAnswerLimit              int  // answers in a UDP message of 512 bytes
	ARecordLimit                int  // addresses of a service in any message; 0 is all
	DisableCompression          bool
	EnableAdditionalNodeMetaTXT bool // node metadata beside addresses
	TranslateWANAddrs           bool // WAN addresses for other datacenters

	Choice

	Recursion recurse.Config // names outside the zone; off without upstreams

	Guard Guard // against use of the server against others

	Extras

	Limits Limits
}

// Extras are what is given beside answers.
type Extras struct {
	Transfer transfer.Config // who gets the zone whole; needs Deps.Transfer
	Observe  observe.Config  // who sees the questions
	Chaos    zone.Chaos      // what is told of the server itself
}

// Choice says which instances of a service are answered, and which of them first.
type Choice struct {
	OnlyPassing  bool // leave out instances in state warning too
	NearestFirst bool // by their distance, as Deps.Near tells it; else in a random order
}

// SOA are the numbers of the SOA record, in seconds.
type SOA = zone.SOA

// Limits bound what askers can take from the server.
type Limits struct {
	UDPInFlight      int           // UDP queries answered at once; more are dropped
	TCPConns         int           // connections at a time, on each address
	TCPConnsPerAddr  int           // of them, from one address
	TCPIdle          time.Duration // how long a connection may be silent
	QueryTimeout     time.Duration // for a name of the own datacenter
	RemoteTimeout    time.Duration // for a name of another one
	DrainTimeout     time.Duration // how long Close waits for answers under way
	LogPanicInterval time.Duration // at most one stack in the log for each
}

// DefaultConfig is what applies where the configuration says nothing.
func DefaultConfig() Config {
	return Config{
		Addrs:                       []string{"127.0.0.1:8600"},
		Domain:                      "consul.",
		Datacenter:                  "dc1",
		SOA:                         SOA{Refresh: 3600, Retry: 600, Expire: 86400},
		UDPAnswerLimit:              3, // what fits 512 bytes with long names
		EnableAdditionalNodeMetaTXT: true,
		Recursion:                   recursion(),
		Guard:                       DefaultGuard(),
		Limits: Limits{
			UDPInFlight:      udpInFlight(),
			TCPConns:         1024,                   // each holds a goroutine and 8 KiB of buffers
			TCPConnsPerAddr:  128,                    // a forwarder pools far fewer
			TCPIdle:          10 * time.Second,       // RFC 7766, section 6.2.3: seconds, not minutes
			QueryTimeout:     100 * time.Millisecond, // the promise for local names
			RemoteTimeout:    500 * time.Millisecond, // the promise for remote ones
			DrainTimeout:     2 * time.Second,        // longer than any single answer
			LogPanicInterval: time.Second,            // a flood must not fill the disk
		},
	}
}

// recursion leaves half of the UDP queries that are answered at once to the zone:
// a question to a recursor waits for the network.
func recursion() recurse.Config {
	c := recurse.DefaultConfig()
	c.Limits.Waiting = udpInFlight() / 2
	return c
}

// udpInFlight is the default limit: answers take microseconds; more than these
// only wait for a CPU.
func udpInFlight() int { return 256 * runtime.GOMAXPROCS(0) }

// Validate reports all that is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fault.Newf(fault.Invalid, format, args...))
	}
	c.validateNames(bad)
	for i, a := range c.Addrs {
		host, port, err := net.SplitHostPort(a)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil || net.ParseIP(strings.SplitN(host, "%", 2)[0]) == nil {
			bad("addresses.dns, ports.dns: %q is not an IP address and a port", a)
		}
		if slices.Contains(c.Addrs[:i], a) && !strings.HasSuffix(a, ":0") {
			bad("addresses.dns: %s is listed twice", a)
		}
	}
	for _, a := range c.TLSAddrs {
		if _, err := netip.ParseAddrPort(a); err != nil {
			bad("addresses.dns, ports.dns_tls: %q is not an IP address and a port", a)
		}
	}
	if len(c.Addrs) == 0 {
		bad("addresses.dns: no address to serve DNS on")
	}
	if c.NodeTTL < 0 {
		bad("dns_config.node_ttl: %v is negative", c.NodeTTL)
	}
	if c.PTRTTL < 0 {
		bad("dns_config.ptr_ttl: %v is negative", c.PTRTTL)
	}
	for name, ttl := range c.ServiceTTL {
		if ttl < 0 {
			bad("dns_config.service_ttl[%q]: %v is negative", name, ttl)
		}
		if i := strings.IndexByte(name, '*'); name == "" || i >= 0 && i != len(name)-1 {
			bad("dns_config.service_ttl[%q]: want a service name, a prefix with * at its end, or *", name)
		}
	}
	if c.UDPAnswerLimit < 0 {
		bad("dns_config.udp_answer_limit: %d is negative", c.UDPAnswerLimit)
	}
	if c.ARecordLimit < 0 {
		bad("dns_config.a_record_limit: %d is negative", c.ARecordLimit)
	}
	c.Guard.validate(bad)
	errs = append(errs, c.Transfer.Validate(), c.Recursion.Validate(), c.Observe.Validate(), c.Chaos.Validate())
	if err := checkRecursors(c); err != nil {
		errs = append(errs, err)
	}
	l := &c.Limits
	if l.UDPInFlight <= 0 || l.TCPConns <= 0 || l.TCPConnsPerAddr <= 0 || l.TCPIdle <= 0 ||
		l.QueryTimeout <= 0 || l.RemoteTimeout <= 0 || l.DrainTimeout <= 0 || l.LogPanicInterval <= 0 {
		bad("dns limits: each must be above zero")
	}
	return errors.Join(errs...)
}

func (c *Config) validateNames(bad func(string, ...any)) {
	if !validDomain(c.Domain) {
		bad("domain: %q is not a domain name", c.Domain)
	}
	if !catalog.ValidDNSLabel(c.Datacenter) && !validDatacenter(c.Datacenter) {
		bad("datacenter: %q cannot stand in a DNS name", c.Datacenter)
	}
	if c.AltDomain == "" {
		return
	}
	if !validDomain(c.AltDomain) {
		bad("alt_domain: %q is not a domain name", c.AltDomain)
		return
	}
	alt := catalog.Fold(dns.Fqdn(strings.TrimPrefix(c.AltDomain, ".")))
	first, _, _ := strings.Cut(alt, ".")
	switch {
	case alt == catalog.Fold(dns.Fqdn(strings.TrimPrefix(c.Domain, "."))):
		bad("alt_domain: %q is the domain itself", c.AltDomain)
	case zone.IsKeyword(first):
		bad("alt_domain: %q starts with %q, which has a meaning of its own in names", c.AltDomain, first)
	case first == catalog.Fold(c.Datacenter):
		bad("alt_domain: %q starts with the name of the datacenter", c.AltDomain)
	}
}

// validDomain reports whether s is one or more labels, with or without dots
// around it.
func validDomain(s string) bool {
	labels := strings.Split(strings.TrimSuffix(strings.TrimPrefix(s, "."), "."), ".")
	// Longer ones leave no room for names below them.
	const maxDomain = 128
	return len(s) <= maxDomain && !slices.ContainsFunc(labels, func(l string) bool {
		return !catalog.ValidDNSLabel(strings.ReplaceAll(l, "_", "-"))
	})
}

// validDatacenter allows the underscore that datacenters may have beyond a host name.
func validDatacenter(s string) bool {
	return s != "" && catalog.ValidDNSLabel("x"+strings.ReplaceAll(s, "_", "-")+"x")
}

func (c *Config) options() zone.Options {
	return zone.Options{
		Domain:        c.Domain,
		AltDomain:     c.AltDomain,
		Datacenter:    c.Datacenter,
		NodeTTL:       c.NodeTTL,
		PTRTTL:        c.PTRTTL,
		ServiceTTL:    c.ServiceTTL,
		SOA:           c.SOA,
		OnlyPassing:   c.OnlyPassing,
		ARecordLimit:  c.ARecordLimit,
		NodeMetaTXT:   c.EnableAdditionalNodeMetaTXT,
		TranslateWANs: c.TranslateWANAddrs,
		LocalTimeout:  c.Limits.QueryTimeout,
	}
}

// fixed names the settings in which o differs from c and that need a restart.
func (c *Config) fixed(o *Config) error {
	var names []string
	note := func(name string, same bool) {
		if !same {
			names = append(names, name)
		}
	}
	note("domain", c.Domain == o.Domain)
	note("alt_domain", c.AltDomain == o.AltDomain)
	note("datacenter", c.Datacenter == o.Datacenter)
	note("addresses.dns, ports.dns", slices.Equal(c.Addrs, o.Addrs))
	note("ports.dns_tls", slices.Equal(c.TLSAddrs, o.TLSAddrs))
	note("limits", c.Limits == o.Limits && c.Recursion.Limits == o.Recursion.Limits)
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("a change of %s needs a restart", strings.Join(names, ", "))
}
