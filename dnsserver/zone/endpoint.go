package zone

import (
	"net/netip"

	"github.com/miekg/dns"

	"consul.internal/catalog"
)

// family says which IP addresses will do.
type family uint8

const (
	ipv4 family = 1 << iota
	ipv6
	anyFamily = ipv4 | ipv6
)

// familyOf returns the addresses that a type asks for; ok is false for types
// that are not about addresses.
func familyOf(qtype uint16) (f family, ok bool) {
	switch qtype {
	case dns.TypeA:
		return ipv4, true
	case dns.TypeAAAA:
		return ipv6, true
	case dns.TypeANY:
		return anyFamily, true
	}
	return 0, false
}

func (f family) has(a netip.Addr) bool {
	if a.Is4() {
		return f&ipv4 != 0
	}
	return f&ipv6 != 0
}

// endpoint is where an instance or a node is reached: an IP address, or a host
// name (with the dot at the end), or neither.
type endpoint struct {
	addr netip.Addr
	host string
	own  bool // the service's own, not its node's
}

// tagged returns the address of the family that an entity carries under its
// tags. Of both families IPv6 comes first.
func tagged(get func(tag string) string, fam family, wan bool) (netip.Addr, bool) {
	tags := [...]string{catalog.TaggedLANIPv6, catalog.TaggedLANIPv4, ""}
	if wan {
		tags = [...]string{catalog.TaggedWANIPv6, catalog.TaggedWANIPv4, catalog.TaggedWAN}
	}
	for _, t := range tags {
		if t == "" {
			continue
		}
		if s := get(t); s != "" {
			if a, ok := parseIP(s); ok && fam.has(a) {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

// wanHost returns the host name that stands in the place of a WAN address.
func wanHost(addr string, wan bool) string {
	if _, isIP := parseIP(addr); !wan || isIP {
		return ""
	}
	return plain(addr, anyFamily).host
}

// nodeEndpoint picks where a node is reached.
func nodeEndpoint(n *catalog.Node, fam family, wan bool) endpoint {
	if len(n.TaggedAddresses) > 0 {
		if a, ok := tagged(func(t string) string { return n.TaggedAddresses[t] }, fam, wan); ok {
			return endpoint{addr: a}
		}
		if host := wanHost(n.TaggedAddresses[catalog.TaggedWAN], wan); host != "" {
			return endpoint{host: host}
		}
	}
	return plain(n.Address, fam)
}

// instanceEndpoint picks where an instance is reached: by the service's own
// address, else by its node's. A service whose address is the very name that is
// asked for has none of its own.
func instanceEndpoint(i *catalog.Instance, fam family, wan bool, qname string) endpoint {
	s := i.Service
	if len(s.TaggedAddresses) > 0 {
		if a, ok := tagged(func(t string) string { return s.TaggedAddresses[t].Address }, fam, wan); ok {
			return endpoint{addr: a, own: true}
		}
		if host := wanHost(s.TaggedAddresses[catalog.TaggedWAN].Address, wan); host != "" {
			return endpoint{host: host, own: true}
		}
	}
	if s.Address != "" {
		e := plain(s.Address, fam)
		if e.host == "" || !catalog.EqualFold(e.host, qname) {
			e.own = true
			return e
		}
	}
	return nodeEndpoint(i.Node, fam, wan)
}

// plain reads an address that is an IP address or a host name.
func plain(s string, fam family) endpoint {
	if a, ok := parseIP(s); ok {
		if fam.has(a) {
			return endpoint{addr: a}
		}
		return endpoint{}
	}
	if s == "" {
		return endpoint{}
	}
	return endpoint{host: sendable(dns.Fqdn(escape(s)))}
}

// parseIP reads an IP address; one that is IPv4 within IPv6 is IPv4.
func parseIP(s string) (netip.Addr, bool) {
	if s == "" || !(s[0] >= '0' && s[0] <= '9' || s[0] == ':' || s[0] >= 'a' && s[0] <= 'f' || s[0] >= 'A' && s[0] <= 'F') {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}
