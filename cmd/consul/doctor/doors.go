package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// door is where the agent listens.
type door struct {
	name, key string // what it is for, and which key moves it
	network   string
	at        netip.AddrPort
}

func (p *patient) doors() []door {
	var out []door
	add := func(name, key string, addrs []netip.AddrPort, networks ...string) {
		for _, a := range addrs {
			if a.Port() == 0 {
				continue
			}
			for _, n := range networks {
				out = append(out, door{name, key, n, a})
			}
		}
	}
	add("DNS", "ports.dns", p.Addresses.DNS, "udp", "tcp")
	add("DNS over TLS", "ports.dns_tls", p.Addresses.DNSTLS, "tcp")
	add("HTTP", "ports.http", p.Addresses.HTTP, "tcp")
	add("HTTPS", "ports.https", p.Addresses.HTTPS, "tcp")
	add("gossip of the datacenter", "ports.serf_lan", []netip.AddrPort{p.Addresses.SerfLAN}, "udp", "tcp")
	if p.Server.Enabled {
		add("gossip between datacenters", "ports.serf_wan", []netip.AddrPort{p.Addresses.SerfWAN}, "udp", "tcp")
		if p.Ports.Server > 0 {
			add("servers", "ports.server", []netip.AddrPort{netip.AddrPortFrom(p.Addresses.Bind, uint16(p.Ports.Server))}, "tcp")
		}
	}
	return out
}

// ports looks whether each door is free, or held by the agent itself.
func (p *patient) ports(context.Context) {
	free, held := 0, 0
	for _, d := range p.doors() {
		where := d.network + " " + d.at.String()
		err := p.listen(d.network, d.at.String())
		switch {
		case err == nil && p.self != nil:
			p.fault("ports", "restart the agent if the configuration was changed; else look into its log", "the agent runs, but nothing listens at %s (%s)", where, d.name)
		case err == nil:
			free++
		case errors.Is(err, syscall.EADDRINUSE) && p.self != nil:
			held++
		case errors.Is(err, syscall.EADDRINUSE):
			p.fault("ports", "find the program with: ss -lnp 'sport = :"+strconv.Itoa(int(d.at.Port()))+"' and stop it, or give the agent another port with "+d.key,
				"%s (%s) is held by another program", where, d.name)
		case errors.Is(err, syscall.EACCES):
			p.fault("ports", "run it by the packaged unit, which may use ports below 1024 (AmbientCapabilities=CAP_NET_BIND_SERVICE), or choose a higher one with "+d.key,
				"%s (%s) may not be used by this user", where, d.name)
		case errors.Is(err, syscall.EADDRNOTAVAIL): // told by addresses
		default:
			p.fault("ports", "choose another address or port with "+d.key, "%s (%s) cannot be used: %v", where, d.name, err)
		}
	}
	if free > 0 {
		p.ok("ports", "%d are free", free)
	}
	if held > 0 {
		p.ok("ports", "%d are held, as they should be while the agent runs", held)
	}
}

// addresses looks whether the machine has what is bound, and whether others could
// reach what is advertised.
func (p *patient) addresses(context.Context) {
	bad := false
	missing := func(key string, a netip.Addr) {
		if a.IsValid() && errors.Is(p.listen("udp", net.JoinHostPort(a.String(), "0")), syscall.EADDRNOTAVAIL) {
			bad = true
			p.fault("addresses", "set "+key+" to one of: "+strings.Join(p.own(), ", "), "%s: this machine does not have %s", key, a)
		}
	}
	missing("bind_addr", p.Addresses.Bind)
	for _, a := range p.Addresses.Client {
		missing("client_addr", a)
	}
	if a := p.Addresses.AdvertiseLAN; a.IsLoopback() && slices.ContainsFunc(p.Joining.LAN, func(s string) bool { return !loopback(s) }) {
		bad = true
		p.fault("addresses", "set bind_addr or advertise_addr to an address that the others reach, such as \"{{ GetPrivateIP }}\"",
			"%s is advertised, which other machines cannot reach", a)
	}
	if !bad {
		p.ok("addresses", "bound to %s, others are told %s", p.Addresses.Bind, p.Addresses.AdvertiseLAN)
	}
}

// own lists the addresses of this machine.
func (p *patient) own() (out []string) {
	ifaces, err := p.host.Interfaces()
	if err != nil {
		return []string{"(they cannot be listed: " + err.Error() + ")"}
	}
	for _, i := range ifaces {
		for _, a := range i.Addrs {
			out = append(out, a.String())
		}
	}
	return out
}

func loopback(hostPort string) bool {
	a, err := netip.ParseAddr(hostOf(hostPort))
	return err == nil && a.IsLoopback() || hostOf(hostPort) == "localhost"
}

// hostOf takes the port off an address to join.
func hostOf(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return strings.Trim(s, "[]")
}

// joining looks at the addresses that others are looked for at.
func (p *patient) joining(ctx context.Context) {
	p.seeds(ctx, "retry_join", p.Joining.LAN, p.Addresses.AdvertiseLAN)
	if len(p.Joining.WAN) > 0 {
		p.seeds(ctx, "retry_join_wan", p.Joining.WAN, p.Addresses.AdvertiseWAN)
	}
	if len(p.Joining.LAN) > 0 || p.Server.Bootstrap || p.Dev {
		return
	}
	if len(p.members) > 1 {
		p.ok("joining", "retry_join is empty; the agent remembers %d other members", len(p.members)-1)
		return
	}
	p.advise("joining", "set retry_join to two or more servers, or run: consul join ADDRESS", "retry_join is empty: this agent waits until somebody joins it")
}

// seeds resolves each address: names that lead nowhere, and lists that always lead
// to the same place, find nobody on the day on which it matters.
func (p *patient) seeds(ctx context.Context, key string, list []string, self netip.Addr) {
	if len(list) == 0 {
		return
	}
	seen := map[netip.Addr]bool{}
	others, unknown := 0, 0
	for _, text := range list {
		if strings.Contains(text, "provider=") {
			unknown++
			continue
		}
		expanded := text
		if strings.Contains(text, "{{") {
			var err error
			if expanded, err = p.host.Expand(text); err != nil {
				p.fault("joining", "mend the template in "+key, "%s: %q: %v", key, text, err)
				unknown++
				continue
			}
		}
		for one := range strings.FieldsSeq(expanded) {
			addrs, err := p.resolve(ctx, hostOf(one))
			if err != nil {
				unknown++
				p.fault("joining", "mend the name in "+key+", or its entry in DNS or /etc/hosts", "%s: %s does not resolve: %v", key, hostOf(one), err)
			}
			for _, a := range addrs {
				if a = a.Unmap(); !seen[a] && a != self {
					others++
				}
				seen[a] = true
			}
		}
	}
	switch {
	case others > 1 || unknown > 0 && others > 0:
		p.ok("joining", "%s leads to %d other addresses", key, others)
	case others == 1:
		p.advise("joining", "add a second server to "+key, "%s leads to one other address only: without that machine this one finds nobody", key)
	case unknown == 0 && !ports127(p, list):
		p.fault("joining", "name the other servers in "+key, "%s leads to this agent's own address only", key)
	}
}

// ports127 says whether several agents of one machine are joined by their ports.
func ports127(p *patient, list []string) bool {
	for _, s := range list {
		if _, port, err := net.SplitHostPort(s); err == nil && port != strconv.Itoa(p.Ports.SerfLAN) && port != strconv.Itoa(p.Ports.SerfWAN) {
			return true
		}
	}
	return false
}

func (p *patient) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return p.lookup(ctx, name)
}
