package recurse

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// Config says whom to ask, and for whom. All of it but Limits can change while a
// Recursor runs.
type Config struct {
	Upstreams []netip.AddrPort // none turns recursion off
	Random    bool             // ask them in a random order, not in that of the list
	Timeout   time.Duration    // for one upstream, a second try over TCP included
	Allow     []netip.Prefix   // who may ask
	Limits    Limits
}

// Limits bound what recursion takes up.
type Limits struct {
	Waiting      int           // questions of askers that wait at once
	InFlight     int           // questions to upstreams at once; equal ones are one
	PerUpstream  int           // of them, to one upstream
	Total        time.Duration // for all upstreams together
	CacheEntries int           // answers that are remembered
	CacheBytes   int           // and what they take up
	MaxTTL       time.Duration // how long a positive answer is fresh at most
	MaxNegative  time.Duration // and a negative one
	MaxStale     time.Duration // how long an answer is kept beyond that
	StaleAfter   time.Duration // how long an asker waits where there is an old answer
	RecheckAfter time.Duration // pause after a failure before an old answer is looked up again
}

// DefaultTimeout is how long an upstream may take: what users of dns_config know.
const DefaultTimeout = 2 * time.Second

// DefaultConfig is what applies where the configuration says nothing.
func DefaultConfig() Config {
	return Config{
		Timeout: DefaultTimeout,
		Allow:   PrivateRanges(),
		Limits: Limits{
			Waiting:      512,              // each holds a goroutine and two small buffers
			InFlight:     256,              // each holds a socket; a process has at least 1,024 file descriptors
			PerUpstream:  128,              // so that one slow upstream does not take them all
			Total:        10 * time.Second, // stub resolvers have given up twice by then (resolv.conf: 5 s)
			CacheEntries: 20_000,           // names that a large site uses in a day
			CacheBytes:   16 << 20,         // as many answers of 800 bytes
			MaxTTL:       24 * time.Hour,   // RFC 8767, section 4, wants a cap; a day is beyond any use
			MaxNegative:  3 * time.Hour,    // RFC 2308, section 5
			MaxStale:     24 * time.Hour,   // RFC 8767, section 5: one to three days
			StaleAfter:   500 * time.Millisecond,
			RecheckAfter: 30 * time.Second, // RFC 8767, section 5
		},
	}
}

// PrivateRanges are the addresses that no stranger has: private (RFC 1918, RFC
// 4193), link-local, carrier-grade NAT (RFC 6598) and loopback.
func PrivateRanges() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
	}
}

// Validate reports all that is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fault.Newf(fault.Invalid, format, args...))
	}
	for i, u := range c.Upstreams {
		if err := usable(u); err != nil {
			bad("recursors: %s: %w", u, err)
		}
		if slices.Contains(c.Upstreams[:i], u) {
			bad("recursors: %s is listed twice", u)
		}
	}
	if c.Timeout <= 0 {
		bad("dns_config.recursor_timeout: %v is not above zero", c.Timeout)
	}
	for _, p := range c.Allow {
		if !p.IsValid() {
			bad("dns_config.recursion_allow: %v is not a network", p)
		}
	}
	l := &c.Limits
	if l.Waiting <= 0 || l.InFlight <= 0 || l.PerUpstream <= 0 || l.Total <= 0 || l.CacheEntries < 0 || l.CacheBytes < 0 ||
		l.MaxTTL <= 0 || l.MaxNegative <= 0 || l.MaxStale < 0 || l.StaleAfter <= 0 || l.RecheckAfter < 0 {
		bad("recursion limits: each must be above zero, those of the cache zero at least")
	}
	return errors.Join(errs...)
}

// Apart reports an upstream that is an address this agent listens at: questions
// would come back for ever. local tells whether an address is the machine's own,
// for listeners at all addresses.
func (c *Config) Apart(listening []netip.AddrPort, local func(netip.Addr) bool) error {
	for _, u := range c.Upstreams {
		for _, l := range listening {
			if u.Port() != l.Port() {
				continue
			}
			same := u.Addr() == l.Addr().Unmap()
			if l.Addr().IsUnspecified() {
				same = u.Addr().IsLoopback() || local(u.Addr())
			}
			if same {
				return fault.Newf(fault.Invalid, "recursors: %s is this agent's own DNS address (%s), so that questions would come back to it for ever; name the DNS server that knows the outside", u, l)
			}
		}
	}
	return nil
}

// dnsPort is where DNS servers listen (RFC 1035, section 4.2).
const dnsPort = 53

// ParseUpstream reads an IP address with or without a port.
func ParseUpstream(s string) (netip.AddrPort, error) {
	u, err := netip.ParseAddrPort(s)
	if err != nil {
		host := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
		a, aerr := netip.ParseAddr(host)
		if aerr != nil {
			return netip.AddrPort{}, fmt.Errorf("%q is not an IP address with or without a port, such as 10.0.0.53 or [2001:db8::53]:5353", s)
		}
		u = netip.AddrPortFrom(a, dnsPort)
	}
	u = netip.AddrPortFrom(u.Addr().Unmap(), u.Port())
	return u, usable(u)
}

// usable reports what nobody can be asked at.
func usable(u netip.AddrPort) error {
	a := u.Addr()
	switch {
	case !u.IsValid() || u.Port() == 0:
		return errors.New("an address and a port above 0 are needed")
	case a.IsUnspecified():
		return errors.New("this is every address and no one's; name that of a DNS server")
	case a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return errors.New("this is the address of many; name that of one DNS server")
	}
	return nil
}

// ParseNetwork reads a network such as 10.0.0.0/8, or one address.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a network such as 10.0.0.0/8 or fd00::/8", s)
	}
	return p.Masked(), nil
}
