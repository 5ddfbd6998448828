package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// dnsPort is the only port at which resolv.conf can name a server.
const dnsPort = 53

// resolver is a program that can lead one domain to the agent.
type resolver struct {
	name   string
	files  []string       // where it is told to, patterns
	line   *regexp.Regexp // finds the address that a domain is led to; nil = addresses stand elsewhere
	write  string         // the file to write
	text   string         // what to write into it
	reload string
}

// stub looks whether programs of this machine that know nothing of the agent
// find its names, and says which lines are missing.
func (p *patient) stub(ctx context.Context) {
	if len(p.Addresses.DNS) == 0 {
		p.advise("dns", "set ports.dns", "this agent answers no DNS")
		return
	}
	at, domain := reachable(p.Addresses.DNS[0]), strings.TrimSuffix(p.DNS.Domain, ".")
	if p.self != nil {
		name := p.Node.Name + ".node." + p.Node.Datacenter + "." + p.DNS.Domain
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		if addrs, err := p.lookup(ctx, name); err == nil && len(addrs) > 0 {
			p.ok("dns", "the resolver of this machine finds %s", strings.TrimSuffix(name, "."))
			return
		}
	}
	servers := nameservers(p)
	if at.Port() == dnsPort && slices.Contains(servers, at.Addr()) {
		p.ok("dns", "/etc/resolv.conf names the agent")
		return
	}
	r := p.resolver(servers, at, domain)
	if r == nil {
		p.advise("dns", fmt.Sprintf("install dnsmasq and write into /etc/dnsmasq.d/consul.conf:\n%s\nor let the agent answer at port 53 (ports { dns = 53 }), give it recursors, and write into /etc/resolv.conf:\nnameserver %s",
			dnsmasqLine(at, domain), at.Addr()), "names under %s reach the agent only by asking it directly (dig @%s -p %d): no local resolver leads them there", domain, at.Addr(), at.Port())
		return
	}
	cure := fmt.Sprintf("write into %s:\n%s\nthen: %s", r.write, r.text, r.reload)
	switch told, wrong := p.told(r, at, domain); {
	case wrong != "":
		p.fault("dns", cure, "%s leads %s to %s, but the agent answers at %s", r.name, domain, wrong, at)
	case !told:
		p.advise("dns", cure, "%s does not lead %s to the agent yet", r.name, domain)
	case p.self != nil:
		p.fault("dns", r.reload, "%s is told to lead %s to the agent, but names are not found", r.name, domain)
	default:
		p.ok("dns", "%s leads %s to the agent", r.name, domain)
	}
}

func dnsmasqLine(at netip.AddrPort, domain string) string {
	return fmt.Sprintf("server=/%s/%s#%d", domain, at.Addr(), at.Port())
}

// resolver finds out which program answers this machine's questions; nil where
// none does that could be told.
func (p *patient) resolver(servers []netip.Addr, at netip.AddrPort, domain string) *resolver {
	quoted := regexp.QuoteMeta(domain)
	switch {
	case slices.Contains(servers, netip.AddrFrom4([4]byte{127, 0, 0, 53})) || p.there("/run/systemd/resolve/stub-resolv.conf"):
		return &resolver{
			name: "systemd-resolved", files: []string{"/etc/systemd/resolved.conf", "/etc/systemd/resolved.conf.d/*.conf"},
			line:  regexp.MustCompile(`(?ms)^\s*DNS=(\S+)\s*$.*^\s*Domains=[^\n]*~` + quoted + `(?:\s|$)|^\s*Domains=[^\n]*~` + quoted + `(?:\s.*?|$).*?^\s*DNS=(\S+)`),
			write: "/etc/systemd/resolved.conf.d/consul.conf", text: fmt.Sprintf("[Resolve]\nDNS=%s\nDNSSEC=false\nDomains=~%s", at, domain),
			reload: "systemctl restart systemd-resolved",
		}
	case p.there("/etc/dnsmasq.conf") || p.there("/etc/dnsmasq.d"):
		return &resolver{
			name: "dnsmasq", files: []string{"/etc/dnsmasq.conf", "/etc/dnsmasq.d/*"},
			line:  regexp.MustCompile(`(?m)^\s*(?:server|local)=/` + quoted + `/(\S+)`),
			write: "/etc/dnsmasq.d/consul.conf", text: dnsmasqLine(at, domain), reload: "systemctl restart dnsmasq",
		}
	}
	return nil
}

// told looks whether the resolver is told to lead the domain to the agent, and
// where to instead.
func (p *patient) told(r *resolver, at netip.AddrPort, domain string) (ok bool, wrong string) {
	for _, pattern := range r.files {
		files, err := filepath.Glob(p.etc(pattern))
		if err != nil {
			continue // the patterns are our own
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // a directory, or not for us to read
			}
			for _, m := range r.line.FindAllStringSubmatch(string(text), -1) {
				target := strings.Join(m[1:], "")
				if target == at.String() || target == fmt.Sprintf("%s#%d", at.Addr(), at.Port()) || at.Port() == dnsPort && target == at.Addr().String() {
					return true, ""
				}
				wrong = target
			}
		}
	}
	return false, wrong
}

// nameservers are those of resolv.conf.
func nameservers(p *patient) (out []netip.Addr) {
	text, err := os.ReadFile(p.etc("/etc/resolv.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.advise("dns", "ls -l /etc/resolv.conf", "it cannot be read: %v", err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}

func (p *patient) there(path string) bool {
	_, err := os.Stat(p.etc(path))
	return err == nil
}
