package zone

import (
	"encoding/hex"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"consul.internal/catalog"
)

func header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

func addrRR(owner string, a netip.Addr, ttl uint32) dns.RR {
	if a.Is4() {
		b := a.As4()
		return &dns.A{Hdr: header(owner, dns.TypeA, ttl), A: net.IP(b[:])}
	}
	b := a.As16()
	return &dns.AAAA{Hdr: header(owner, dns.TypeAAAA, ttl), AAAA: net.IP(b[:])}
}

// maxString is the length of one character-string (RFC 1035, section 3.3).
const maxString = 255

// textRRs gives one TXT record for each attribute, in the order of the keys.
func textRRs(owner string, meta map[string]string, ttl uint32) []dns.RR {
	if len(meta) == 0 {
		return nil
	}
	out := make([]dns.RR, 0, len(meta))
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		out = append(out, &dns.TXT{Hdr: header(owner, dns.TypeTXT, ttl), Txt: textOf(k, meta[k])})
	}
	return out
}

// rawPrefix starts the keys whose values stand alone, without their key.
const rawPrefix = "rfc1035-"

// textOf gives an attribute as key=value (RFC 1464), in strings of the
// presentation format.
func textOf(k, v string) []string {
	text := v
	if len(k) < len(rawPrefix) || !catalog.EqualFold(k[:len(rawPrefix)], rawPrefix) {
		text = quoteKey.Replace(k) + "=" + quoteValue.Replace(v)
	}
	var out []string
	for len(text) > maxString {
		out = append(out, escapeText.Replace(text[:maxString]))
		text = text[maxString:]
	}
	return append(out, escapeText.Replace(text))
}

// The replacers are made once; they hold no state.
var (
	quoteKey   = strings.NewReplacer("`", "``", "=", "`=")
	quoteValue = strings.NewReplacer("`", "``")
	escapeText = strings.NewReplacer(`\`, `\\`)
)

// nodeName is the name of a node in a datacenter, or "" if no message can carry it.
func nodeName(node, datacenter, domain string) string {
	return sendable(escape(node) + "." + labelNode + "." + datacenter + "." + domain)
}

// addrName is the name that spells an address.
func addrName(a netip.Addr, datacenter, domain string) string {
	return hex.EncodeToString(a.AsSlice()) + "." + labelAddr + "." + datacenter + "." + domain
}
