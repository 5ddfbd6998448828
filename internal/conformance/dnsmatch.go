package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// sections is a reply in the text form of the vectors.
type sections struct {
	rcode, opcode, flags          string
	question                      []string
	answer, authority, additional []string
	edns                          *EDNSReply
}

// render puts an observed reply into the text form.
func render(m *dns.Msg) sections {
	s := sections{rcode: dns.RcodeToString[m.Rcode], opcode: dns.OpcodeToString[m.Opcode], flags: flagText(m)}
	if m.Rcode == dns.RcodeBadVers {
		s.rcode = "BADVERS" // the number is shared with BADSIG, which only TSIG records carry
	}
	if s.opcode == "" {
		s.opcode = strconv.Itoa(m.Opcode)
	}
	for _, q := range m.Question {
		s.question = append(s.question, q.Name+" "+dns.Class(q.Qclass).String()+" "+dns.Type(q.Qtype).String())
	}
	s.answer, s.authority, s.additional = rrTexts(m.Answer), rrTexts(m.Ns), rrTexts(m.Extra)
	if o := m.IsEdns0(); o != nil {
		s.edns = &EDNSReply{Size: o.UDPSize(), Do: o.Do(), Version: o.Version()}
		for _, opt := range o.Option {
			s.edns.Options = append(s.edns.Options, optionText(opt))
		}
	}
	return s
}

func flagText(m *dns.Msg) string {
	bits := []struct {
		name string
		on   bool
	}{
		{"qr", m.Response}, {"aa", m.Authoritative}, {"tc", m.Truncated}, {"rd", m.RecursionDesired},
		{"ra", m.RecursionAvailable}, {"z", m.Zero}, {"ad", m.AuthenticatedData}, {"cd", m.CheckingDisabled},
	}
	var on []string
	for _, b := range bits {
		if b.on {
			on = append(on, b.name)
		}
	}
	return strings.Join(on, " ")
}

func optionText(o dns.EDNS0) string {
	switch x := o.(type) {
	case *dns.EDNS0_SUBNET:
		return fmt.Sprintf("ECS %s/%d scope %d", x.Address, x.SourceNetmask, x.SourceScope)
	case *dns.EDNS0_COOKIE:
		return "COOKIE " + x.Cookie
	}
	return fmt.Sprintf("OPTION%d %s", o.Option(), o.String())
}

// rrTexts drops OPT records and the server's own metadata, hides SOA serials.
func rrTexts(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs {
		if rr.Header().Rrtype == dns.TypeOPT || isOwnMetadata(rr) {
			continue
		}
		text := strings.ReplaceAll(rr.String(), "\t", " ")
		if _, ok := rr.(*dns.SOA); ok {
			if f := strings.Fields(text); len(f) > 6 {
				f[6] = "<serial>"
				text = strings.Join(f, " ")
			}
		}
		out = append(out, text)
	}
	return out
}

func isOwnMetadata(rr dns.RR) bool {
	txt, ok := rr.(*dns.TXT)
	if !ok || len(txt.Txt) == 0 {
		return false
	}
	s := strings.ToLower(txt.Txt[0])
	return strings.HasPrefix(s, "consul-version=") || strings.HasPrefix(s, "consul-network-segment=")
}

// judge compares one reply with what was recorded; it returns the differences.
func (c *DNSCase) judge(r *reply, expand func(string) string) []string {
	var diffs []string
	add := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	got, want := render(r.msg), &c.Expect
	for _, f := range []struct{ name, want, got string }{
		{"rcode", want.Rcode, got.rcode}, {"opcode", want.Opcode, got.opcode}, {"flags", want.Flags, got.flags},
	} {
		if f.want != f.got {
			add("%s: want %q, got %q", f.name, f.want, f.got)
		}
	}
	question := make([]string, len(want.Question))
	for i, q := range want.Question {
		question[i] = normalQuestion(expand(q))
	}
	if !slices.Equal(question, normalQuestions(got.question)) {
		add("question: want %q, got %q", question, got.question)
	}
	if c.Compare.EDNS != "any" {
		if d := ednsDiff(want.EDNS, got.edns); d != "" {
			add("edns: %s", d)
		}
	}
	diffs = append(diffs, c.judgeRecords(got, expand)...)
	if want.TargetsResolved {
		for _, t := range unresolved(r.msg) {
			add("additional: SRV target %s has no record", t)
		}
	}
	if want.MaxSize > 0 && len(r.wire) > want.MaxSize {
		add("size: want at most %d bytes, got %d", want.MaxSize, len(r.wire))
	}
	if c.Compare.Compression {
		if is := compressed(r); is != want.Compressed {
			add("compressed: want %v, got %v", want.Compressed, is)
		}
	}
	if limit := time.Duration(c.Compare.MaxElapsedMS) * time.Millisecond; limit > 0 && r.elapsed > limit {
		add("elapsed: want at most %v, got %v", limit, r.elapsed)
	}
	return diffs
}

// Types are compared by number in questions: TYPE65 and HTTPS are the same.
func normalQuestion(q string) string {
	f := strings.Fields(q)
	if len(f) == 3 {
		if t, ok := number(f[2], "TYPE", dns.StringToType); ok {
			f[2] = dns.Type(t).String()
		}
		if c, ok := number(f[1], "CLASS", dns.StringToClass); ok {
			f[1] = dns.Class(c).String()
		}
	}
	return strings.Join(f, " ")
}

func normalQuestions(in []string) []string {
	out := make([]string, len(in))
	for i, q := range in {
		out[i] = normalQuestion(q)
	}
	return out
}

func (c *DNSCase) judgeRecords(got sections, expand func(string) string) []string {
	var diffs []string
	all := func(in []string) []string {
		out := make([]string, len(in))
		for i, s := range in {
			out[i] = expand(s)
		}
		return out
	}
	want := &c.Expect
	answer, authority, additional := all(want.Answer), all(want.Authority), all(want.Additional)
	if d := setDiff(authority, got.authority); d != "" {
		diffs = append(diffs, "authority:"+d)
	}
	switch c.Compare.Answer {
	case "sample":
		diffs = append(diffs, sampleDiff("answer", answer, got.answer, want.AnswerCount, true)...)
		diffs = append(diffs, sampleDiff("additional", additional, got.additional, want.AdditionalCount, false)...)
	case "ordered":
		if !slices.Equal(answer, got.answer) {
			diffs = append(diffs, "answer (in order):"+listDiff(answer, got.answer))
		}
		if d := setDiff(additional, got.additional); d != "" {
			diffs = append(diffs, "additional:"+d)
		}
	default:
		if !slices.Equal(sorted(answer), sorted(got.answer)) {
			diffs = append(diffs, "answer:"+listDiff(answer, got.answer))
		}
		if d := setDiff(additional, got.additional); d != "" {
			diffs = append(diffs, "additional:"+d)
		}
	}
	if n := c.Compare.First; n > 0 {
		if len(got.answer) < n || len(answer) < n || !slices.Equal(answer[:n], got.answer[:n]) {
			diffs = append(diffs, fmt.Sprintf("answer: the first %d must be:%s", n, listDiff(answer[:min(n, len(answer))], got.answer)))
		}
	}
	return diffs
}

func sorted(in []string) []string { return slices.Sorted(slices.Values(in)) }

func setDiff(want, got []string) string {
	w, g := slices.Compact(sorted(want)), slices.Compact(sorted(got))
	if slices.Equal(w, g) {
		return ""
	}
	return listDiff(w, g)
}

// listDiff shows what is missing (-) and what is too much (+).
func listDiff(want, got []string) string {
	var b strings.Builder
	rest := slices.Clone(got)
	for _, w := range want {
		if i := slices.Index(rest, w); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			continue
		}
		b.WriteString("\n        - " + w)
	}
	for _, g := range rest {
		b.WriteString("\n        + " + g)
	}
	if b.Len() == 0 {
		return " the order differs: got\n          " + strings.Join(got, "\n          ")
	}
	return b.String()
}

func sampleDiff(what string, allowed, got []string, count *Range, unique bool) []string {
	var diffs []string
	if count != nil && (len(got) < count.Min || len(got) > count.Max) {
		diffs = append(diffs, fmt.Sprintf("%s: want %d to %d records, got %d", what, count.Min, count.Max, len(got)))
	}
	seen := map[string]bool{}
	for _, g := range got {
		if !slices.Contains(allowed, g) {
			diffs = append(diffs, fmt.Sprintf("%s: unexpected record %s", what, g))
		}
		if unique && seen[g] {
			diffs = append(diffs, fmt.Sprintf("%s: repeated record %s", what, g))
		}
		seen[g] = true
	}
	return diffs
}

func ednsDiff(want, got *EDNSReply) string {
	switch {
	case want == nil && got == nil:
		return ""
	case want == nil:
		return fmt.Sprintf("want none, got %+v", *got)
	case got == nil:
		return fmt.Sprintf("want %+v, got none", *want)
	}
	if want.Size != got.Size || want.Do != got.Do || want.Version != got.Version || !slices.Equal(want.Options, got.Options) {
		return fmt.Sprintf("want %+v, got %+v", *want, *got)
	}
	return ""
}

// unresolved lists the SRV targets without a record in the additional section.
func unresolved(m *dns.Msg) []string {
	var out []string
	for _, rr := range m.Answer {
		srv, ok := rr.(*dns.SRV)
		if ok && !slices.ContainsFunc(m.Extra, func(x dns.RR) bool {
			return x.Header().Rrtype != dns.TypeOPT && x.Header().Name == srv.Target
		}) {
			out = append(out, srv.Target)
		}
	}
	return out
}

// compressed says whether the message is shorter than without compression.
func compressed(r *reply) bool {
	plain := r.msg.Copy()
	plain.Compress = false
	return len(r.wire) < plain.Len()
}
