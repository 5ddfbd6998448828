package dnsserver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// rendered is a reply as the recordings have it.
func rendered(m *dns.Msg) vectorExpect {
	e := vectorExpect{Rcode: dns.RcodeToString[m.Rcode]}
	if m.Rcode == dns.RcodeBadVers { // shares its number with BADSIG
		e.Rcode = "BADVERS"
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{m.Response, "qr"}, {m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.RecursionDesired, "rd"},
		{m.RecursionAvailable, "ra"}, {m.Zero, "z"}, {m.AuthenticatedData, "ad"}, {m.CheckingDisabled, "cd"}} {
		if f.on {
			e.Flags = strings.TrimPrefix(e.Flags+" "+f.name, " ")
		}
	}
	texts := func(rrs []dns.RR) []string {
		out := []string{}
		for _, rr := range rrs {
			switch rr := rr.(type) {
			case *dns.OPT:
				e.EDNS = &vectorEDNS{rr.UDPSize(), rr.Do(), rr.Version()}
				continue
			case *dns.TXT:
				if s := strings.ToLower(rr.Txt[0]); strings.HasPrefix(s, "consul-version=") || strings.HasPrefix(s, "consul-network-segment=") {
					continue
				}
			}
			s := strings.ReplaceAll(rr.String(), "\t", " ")
			if soa, ok := rr.(*dns.SOA); ok {
				s = strings.Replace(s, fmt.Sprintf(" %d ", soa.Serial), " <serial> ", 1)
			}
			out = append(out, s)
		}
		return out
	}
	e.Answer, e.Authority, e.Additional = texts(m.Answer), texts(m.Ns), texts(m.Extra)
	return e
}

func judge(c *vectorCase, m *dns.Msg, wire []byte) (diffs []string) {
	want := c.Expect
	if want.NoResponse || m == nil {
		if want.NoResponse != (m == nil) {
			diffs = append(diffs, fmt.Sprintf("no response: want %v", want.NoResponse))
		}
		return diffs
	}
	got := rendered(m)
	differ := func(what string, w, g any) {
		if fmt.Sprint(w) != fmt.Sprint(g) {
			diffs = append(diffs, fmt.Sprintf("%s:\n\t want %v\n\t got  %v", what, w, g))
		}
	}
	sorted := func(in []string, compact bool) []string {
		out := []string{}
		for _, s := range in {
			out = append(out, expand(s))
		}
		if slices.Sort(out); compact {
			out = slices.Compact(out)
		}
		return out
	}
	differ("rcode", want.Rcode, got.Rcode)
	differ("flags", want.Flags, got.Flags)
	if c.Compare.EDNS != "any" && (want.EDNS == nil) != (got.EDNS == nil) || want.EDNS != nil && *want.EDNS != *got.EDNS {
		differ("edns", want.EDNS, got.EDNS)
	}
	differ("authority", sorted(want.Authority, true), sorted(got.Authority, true))
	if c.Compare.Answer == "sample" {
		for _, g := range slices.Concat(got.Answer, got.Additional) {
			if !slices.Contains(slices.Concat(sorted(want.Answer, true), sorted(want.Additional, true)), g) {
				diffs = append(diffs, "unexpected "+g)
			}
		}
		if n := want.AnswerCount; n != nil && (len(got.Answer) < n.Min || len(got.Answer) > n.Max) {
			differ("number of answers", *n, len(got.Answer))
		}
		if n := want.AdditionalCount; n != nil && (len(got.Additional) < n.Min || len(got.Additional) > n.Max) {
			differ("number of additional records", *n, len(got.Additional))
		}
	} else {
		if c.Compare.Answer == "ordered" {
			w := []string{}
			for _, s := range want.Answer {
				w = append(w, expand(s))
			}
			differ("answer in order", w, got.Answer)
		}
		differ("answer", sorted(want.Answer, false), sorted(got.Answer, false))
		differ("additional", sorted(want.Additional, true), sorted(got.Additional, true))
	}
	if want.MaxSize > 0 && len(wire) > want.MaxSize {
		differ("size", want.MaxSize, len(wire))
	}
	if c.Compare.Compression {
		m.Compress = false
		differ("compressed", want.Compressed, m.Len() > len(wire))
	}
	return diffs
}
