package configs

import (
	"net/netip"
	"strings"
)

// locator resolves what a configuration says about addresses.
type locator struct {
	*findings
	f         *file
	host      Host
	hostAddrs []named // nil until asked
}

// named is an address of this machine and the interface that has it.
type named struct {
	iface string
	addr  netip.Addr
}

// local lists the addresses of this machine, link-local ones left out: they
// mean nothing without a zone.
func (r *locator) local() []named {
	if r.hostAddrs == nil {
		ifaces, err := r.host.Interfaces()
		if err != nil {
			r.network("", "cannot list the network interfaces: %v", err)
		}
		r.hostAddrs = []named{}
		for _, i := range ifaces {
			for _, a := range i.Addrs {
				if !a.IsLinkLocalUnicast() && !a.IsMulticast() {
					r.hostAddrs = append(r.hostAddrs, named{i.Name, a})
				}
			}
		}
	}
	return r.hostAddrs
}

func choices(list []named) string {
	if len(list) == 0 {
		return "none"
	}
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = n.iface + " " + n.addr.String()
	}
	return strings.Join(out, ", ")
}

// expand replaces go-sockaddr templates.
func (r *locator) expand(key, text string) string {
	if !strings.Contains(text, "{{") {
		return strings.TrimSpace(text)
	}
	out, err := r.host.Expand(text)
	if err != nil {
		r.errorf(key, "%s: %v", key, err)
		return ""
	}
	if out = strings.TrimSpace(out); out == "" {
		r.network(key, "%s: the template %q finds no address on this machine; it has %s", key, text, choices(r.local()))
	}
	return out
}

// parseAddr reads an IP address, in brackets or not.
func parseAddr(s string) (netip.Addr, error) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err
}

// one reads a key that holds a single address. The result is invalid where the
// key is empty or wrong.
func (r *locator) one(key string, text *string) netip.Addr {
	if text == nil || *text == "" {
		return netip.Addr{}
	}
	expanded := r.expand(key, *text)
	fields := strings.Fields(expanded)
	switch {
	case len(fields) == 0:
		return netip.Addr{}
	case len(fields) > 1:
		r.errorf(key, "%s: multiple addresses found: %s; choose one", key, strings.Join(fields, ", "))
		return netip.Addr{}
	case strings.HasPrefix(expanded, "unix:"):
		r.errorf(key, "%s cannot be a unix socket", key)
		return netip.Addr{}
	}
	a, err := parseAddr(fields[0])
	if err != nil {
		r.errorf(key, "%s: %q is not an IP address; this machine has %s", key, fields[0], choices(r.local()))
	}
	return a
}

// many reads a key that holds addresses parted by blanks, and unix sockets
// where those are allowed.
func (r *locator) many(key string, text *string, sockets *[]string) []netip.Addr {
	if text == nil {
		return nil
	}
	var out []netip.Addr
	for f := range strings.FieldsSeq(r.expand(key, *text)) {
		if path, ok := strings.CutPrefix(f, "unix://"); ok && sockets != nil {
			*sockets = append(*sockets, path)
			continue
		}
		a, err := parseAddr(f)
		if err != nil {
			r.errorf(key, "%s: %q is not an IP address; this machine has %s", key, f, choices(r.local()))
			continue
		}
		out = append(out, a)
	}
	return out
}

// exists reports an address that no interface has. Loopback always exists: all
// of 127.0.0.0/8 is bound to it.
func (r *locator) exists(key string, a netip.Addr) {
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return
	}
	for _, n := range r.local() {
		if n.addr == a.WithZone("") {
			return
		}
	}
	r.network(key, "%s: no network interface of this machine has the address %s; it has %s", key, a, choices(r.local()))
}

// carrierNAT is the shared address space of RFC 6598, private in practice.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// pick finds the address to advertise when all are bound: the private IPv4
// address, or for "::" the public IPv6 one. There must be exactly one.
func (r *locator) pick(bind netip.Addr) netip.Addr {
	var found []named
	kind := "private IPv4"
	keep := func(a netip.Addr) bool { return a.Is4() && (a.IsPrivate() || carrierNAT.Contains(a)) }
	if bind.Is6() {
		kind = "public IPv6"
		keep = func(a netip.Addr) bool { return a.Is6() && a.IsGlobalUnicast() && !a.IsPrivate() }
	}
	for _, n := range r.local() {
		if keep(n.addr) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		r.network("bind_addr", "No %s address found to advertise. Set bind_addr or advertise_addr to one of this machine's addresses: %s", kind, choices(r.local()))
	case 1:
		return found[0].addr
	default:
		r.network("bind_addr", "Multiple %s addresses found. Please configure one with 'bind' and/or 'advertise' (keys bind_addr, advertise_addr): %s", kind, choices(found))
	}
	return netip.Addr{}
}

// addresses resolves all address keys.
func (r *locator) addresses(p Ports) Addresses {
	f := r.f
	var a Addresses
	a.Bind = r.one("bind_addr", f.BindAddr)
	if f.BindAddr != nil && *f.BindAddr == "" {
		r.errorf("bind_addr", "bind_addr cannot be empty")
	}
	r.exists("bind_addr", a.Bind)
	a.Client = r.many("client_addr", f.ClientAddr, nil)

	a.AdvertiseLAN = r.advertise("advertise_addr", f.AdvertiseAddr)
	a.AdvertiseLANIPv4 = r.advertise("advertise_addr_ipv4", f.AdvertiseAddrIPv4)
	a.AdvertiseLANIPv6 = r.advertise("advertise_addr_ipv6", f.AdvertiseAddrIPv6)
	a.AdvertiseWAN = r.advertise("advertise_addr_wan", f.AdvertiseWAN)
	a.AdvertiseWANIPv4 = r.advertise("advertise_addr_wan_ipv4", f.AdvertiseWANIPv4)
	a.AdvertiseWANIPv6 = r.advertise("advertise_addr_wan_ipv6", f.AdvertiseWANIPv6)
	if a.Bind.IsValid() && !named4or6(f.AdvertiseAddr) {
		switch {
		case a.AdvertiseLANIPv4.IsValid() && a.Bind.IsUnspecified():
			a.AdvertiseLAN = a.AdvertiseLANIPv4
		case a.AdvertiseLANIPv6.IsValid() && a.Bind.IsUnspecified():
			a.AdvertiseLAN = a.AdvertiseLANIPv6
		case a.Bind.IsUnspecified():
			a.AdvertiseLAN = r.pick(a.Bind)
		default:
			a.AdvertiseLAN = a.Bind
		}
	}
	family(a.AdvertiseLAN, &a.AdvertiseLANIPv4, &a.AdvertiseLANIPv6)
	if !a.AdvertiseWAN.IsValid() && !named4or6(f.AdvertiseWAN) {
		a.AdvertiseWAN = a.AdvertiseLAN
	}
	family(a.AdvertiseWAN, &a.AdvertiseWANIPv4, &a.AdvertiseWANIPv6)

	a.SerfLAN = r.serf("serf_lan", f.SerfLAN, a.Bind, p.SerfLAN)
	a.SerfWAN = r.serf("serf_wan", f.SerfWAN, a.Bind, p.SerfWAN)
	a.DNS = withPort(r.orClient("addresses.dns", f.Addresses.DNS, a.Client, nil), p.DNS)
	a.DNSTLS = withPort(r.orClient("addresses.dns", f.Addresses.DNS, a.Client, nil), p.DNSTLS)
	a.HTTP = withPort(r.orClient("addresses.http", f.Addresses.HTTP, a.Client, &a.HTTPSockets), p.HTTP)
	if p.HTTP <= 0 {
		a.HTTPSockets = nil
	}
	a.HTTPS = withPort(r.orClient("addresses.https", f.Addresses.HTTPS, a.Client, &[]string{}), p.HTTPS)
	r.orClient("addresses.grpc", f.Addresses.GRPC, nil, &[]string{})
	r.orClient("addresses.grpc_tls", f.Addresses.GRPCTLS, nil, &[]string{})
	a.SocketUser, a.SocketGroup, a.SocketMode = value(f.UnixSockets.User), value(f.UnixSockets.Group), value(f.UnixSockets.Mode)
	return a
}

func named4or6(text *string) bool { return text != nil && *text != "" }

// family fills the address of a family from the general one.
func family(a netip.Addr, v4, v6 *netip.Addr) {
	switch {
	case a.Is4() && !v4.IsValid():
		*v4 = a
	case a.Is6() && !v6.IsValid():
		*v6 = a
	}
}

func (r *locator) advertise(key string, text *string) netip.Addr {
	a := r.one(key, text)
	if !a.IsValid() {
		return a
	}
	switch {
	case a.IsUnspecified():
		r.errorf(key, "Advertise address cannot be 0.0.0.0, :: or [::]")
	case strings.HasSuffix(key, "_ipv4") && !a.Is4(), strings.HasSuffix(key, "_ipv6") && !a.Is6():
		r.errorf(key, "%s: %s is of the other address family", key, a)
	}
	return a
}

func (r *locator) serf(key string, text *string, bind netip.Addr, port int) netip.AddrPort {
	a := r.one(key, text)
	if r.exists(key, a); !a.IsValid() {
		a = bind
	}
	if port <= 0 || !a.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, uint16(port))
}

// orClient reads one of the addresses keys, client_addr where it is absent.
func (r *locator) orClient(key string, text *string, client []netip.Addr, sockets *[]string) []netip.Addr {
	if text == nil || *text == "" {
		return client
	}
	return r.many(key, text, sockets)
}

func withPort(addrs []netip.Addr, port int) []netip.AddrPort {
	if port <= 0 || port > 65535 {
		return nil
	}
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a, uint16(port))
	}
	return out
}

// distinct reports addresses that are used twice. An address of a machine's own
// clashes with the unspecified one on the same port.
func (r *locator) distinct(a *Addresses, server bool, p Ports) {
	type use struct {
		who string
		at  netip.AddrPort
	}
	var seen []use
	add := func(who string, at netip.AddrPort) {
		if !at.IsValid() || at.Port() == 0 {
			return
		}
		for _, u := range seen {
			same := u.at.Addr() == at.Addr() || u.at.Addr().IsUnspecified() || at.Addr().IsUnspecified()
			if same && u.at.Port() == at.Port() {
				r.errorf(portKey(who), "%s address %s already configured for %s", who, at, u.who)
				return
			}
		}
		seen = append(seen, use{who, at})
	}
	for _, at := range a.DNS {
		add("DNS", at)
	}
	for _, at := range a.DNSTLS {
		add("DNS TLS", at)
	}
	for _, at := range a.HTTP {
		add("HTTP", at)
	}
	for _, at := range a.HTTPS {
		add("HTTPS", at)
	}
	if server && p.Server > 0 && p.Server <= 65535 && a.Bind.IsValid() {
		add("Server", netip.AddrPortFrom(a.Bind, uint16(p.Server)))
	}
	add("Serf LAN", a.SerfLAN)
	if server {
		add("Serf WAN", a.SerfWAN)
	}
}

func portKey(who string) string {
	return "ports." + strings.ReplaceAll(strings.ToLower(who), " ", "_")
}
