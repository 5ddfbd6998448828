package zone

import (
	"strings"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// Chaos is what is told of a server itself, in the class that is used for that (RFC
// 4892). What is empty is refused.
type Chaos struct {
	Version  string // version.bind, version.server
	Hostname string // hostname.bind, id.server
}

// Validate reports texts that no record can carry.
func (c *Chaos) Validate() error {
	for _, text := range []string{c.Version, c.Hostname} {
		if len(text) > maxString || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fault.Newf(fault.Invalid, "dns_config.version_bind, dns_config.hostname_bind: want at most %d printable ASCII characters", maxString)
		}
	}
	return nil
}

// Answer answers a question that is not of class IN.
func (c *Chaos) Answer(q dns.Question) Reply {
	text := ""
	if q.Qclass == dns.ClassCHAOS {
		switch catalog.Fold(q.Name) {
		case "version.bind.", "version.server.":
			text = c.Version
		case "hostname.bind.", "id.server.":
			text = c.Hostname
		}
	}
	switch {
	case text == "":
		return Reply{Rcode: dns.RcodeRefused}
	case q.Qtype != dns.TypeTXT && q.Qtype != dns.TypeANY:
		return Reply{Authoritative: true}
	}
	txt := &dns.TXT{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS}, Txt: []string{escapeText.Replace(text)}}
	return Reply{Authoritative: true, Answer: []dns.RR{txt}}
}
