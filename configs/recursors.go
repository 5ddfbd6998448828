package configs

import (
	"net/netip"
	"slices"
	"strings"

	"consul.internal/dnsserver"
	"consul.internal/dnsserver/recurse"
)

// recursors expands templates and reads the addresses. One that several files
// name counts once.
func (r *resolver) recursors() []netip.AddrPort {
	var out []netip.AddrPort
	for _, text := range r.f.Recursors {
		for f := range strings.FieldsSeq(r.loc.expand("recursors", text)) {
			u, err := recurse.ParseUpstream(f)
			switch {
			case err != nil:
				r.errorf("recursors", "recursors: %s: %v", f, err)
			case !slices.Contains(out, u):
				out = append(out, u)
			}
		}
	}
	return out
}

// recursionAllow reads who may ask for names outside of the domain.
func (r *resolver) recursionAllow() []netip.Prefix {
	const key = "dns_config.recursion_allow"
	var out []netip.Prefix
	for _, text := range r.f.DNS.RecursionAllow {
		p, err := recurse.ParseNetwork(text)
		if err != nil {
			r.errorf(key, "%s: %v", key, err)
			continue
		}
		out = append(out, p)
	}
	if len(r.f.DNS.RecursionAllow) == 0 {
		return recurse.PrivateRanges()
	}
	return out
}

// guardOf reads what keeps the agent from being used against others.
func guardOf(r *resolver) dnsserver.Guard {
	const key = "dns_config.limit_exempt"
	f := &r.f.DNS
	g := dnsserver.Guard{MaxUDP: value(f.MaxUDPSize), Rate: value(f.ResponseRateLimit), Unknown: value(f.UnknownNameLimit)}
	for _, text := range f.LimitExempt {
		p, err := recurse.ParseNetwork(text)
		if err != nil {
			r.errorf(key, "%s: %v", key, err)
			continue
		}
		g.Exempt = append(g.Exempt, p)
	}
	if len(f.LimitExempt) == 0 {
		g.Exempt = dnsserver.Loopback()
	}
	return g
}

// apart reports recursors that lead back to this agent.
func (r *resolver) apart(d *DNS, a *Addresses) {
	c := recurse.Config{Upstreams: d.Recursors}
	own := func(addr netip.Addr) bool {
		return slices.ContainsFunc(r.loc.local(), func(n named) bool { return n.addr == addr })
	}
	if err := c.Apart(a.DNS, own); err != nil {
		r.errorf("recursors", "%v", err)
	}
}
