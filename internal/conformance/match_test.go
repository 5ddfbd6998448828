package conformance

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func expandWith(t *testing.T, kv ...string) func(string) string {
	t.Helper()
	v := NewVars()
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return v.Expand
}

func TestJSONMatcher(t *testing.T) {
	tests := []struct {
		name, want, got   string
		subset, unordered bool
		ok                bool
	}{
		{"equal", `{"a":[1,"x",null,true]}`, `{"a":[1.0,"x",null,true]}`, false, false, true},
		{"null is not absent", `{"a":null}`, `{}`, false, false, false},
		{"null is not empty", `{"a":null}`, `{"a":[]}`, false, false, false},
		{"empty object is not empty array", `{}`, `[]`, false, false, false},
		{"extra member", `{"a":1}`, `{"a":1,"b":2}`, false, false, false},
		{"extra member of a subset", `{"a":1}`, `{"a":1,"b":2}`, true, false, true},
		{"extra element", `[1]`, `[1,2]`, false, false, false},
		{"extra element of a subset", `[2]`, `[1,2,3]`, true, false, true},
		{"subset keeps order", `[2,1]`, `[1,2,3]`, true, false, false},
		{"unordered", `[{"a":1},{"a":2}]`, `[{"a":2},{"a":1}]`, false, true, true},
		{"unordered counts", `[1,1,2]`, `[1,2,2]`, false, true, false},
		{"unordered gives each its own", `["<any>",1]`, `[1,2]`, false, true, true},
		{"ignored members", `{"a":1,"Partition":"x"}`, `{"a":1,"Namespace":"default"}`, false, false, true},
		{"maybe absent", `{"a":"<maybe>"}`, `{}`, false, false, true},
		{"any must be there", `{"a":"<any>"}`, `{}`, false, false, false},
		{"any takes null", `{"a":"<any>"}`, `{"a":null}`, false, false, true},
		{"types", `["<string>","<number>","<bool>","<object>","<array>"]`, `["",1,false,{},[]]`, false, false, true},
		{"wrong type", `["<string>"]`, `[1]`, false, false, false},
		{"uuid", `["<uuid>"]`, `["aaaaaaaa-1111-1111-1111-111111111111"]`, false, false, true},
		{"upper case uuid", `["<uuid>"]`, `["AAAAAAAA-1111-1111-1111-111111111111"]`, false, false, false},
		{"time", `["<time>"]`, `["2026-01-02T03:04:05.678Z"]`, false, false, true},
		{"no time", `["<time>"]`, `["yesterday"]`, false, false, false},
		{"index as number or text", `["<index>","<index>"]`, `[12,"0"]`, false, false, true},
		{"negative index", `["<index>"]`, `[-1]`, false, false, false},
		{"variable", `"${a.ip}:1"`, `"127.1.1.1:1"`, false, false, true},
		{"variable for a number", `"${a.http}"`, `8500`, false, false, true},
		{"text is no number", `"8500"`, `8500`, false, false, false},
		{"wildcard", `"v<*>-dev<*>"`, `"v1.2-dev (x)"`, false, false, true},
		{"wildcard ends", `"v<*>x"`, `"v1.2y"`, false, false, false},
		{"large numbers", `18446744073709551615`, `18446744073709551614`, false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, err := decodeJSON([]byte(tt.want))
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeJSON([]byte(tt.got))
			if err != nil {
				t.Fatal(err)
			}
			m := JSONMatcher{Expand: expandWith(t, "a.ip", "127.1.1.1", "a.http", "8500"), Subset: tt.subset, Unordered: tt.unordered}
			if d := m.Match(want, got); (d == "") != tt.ok {
				t.Errorf("difference %q, want a match: %v", d, tt.ok)
			}
		})
	}
	if _, err := decodeJSON([]byte(`{} {}`)); err == nil {
		t.Error("two documents pass for one")
	}
}

func TestOutput(t *testing.T) {
	tests := []struct {
		name string
		o    OutputExpect
		out  string
		ok   bool
	}{
		{"any", OutputExpect{Mode: "any"}, "", true},
		{"nonempty", OutputExpect{Mode: "nonempty"}, " \n", false},
		{"empty counts no blanks", OutputExpect{Mode: "empty"}, " \n", true},
		{"empty", OutputExpect{Mode: "empty"}, "x", false},
		{"lines between", OutputExpect{Mode: "lines", Lines: []string{"a b", "c"}}, "a   b\nx\n  c\n", true},
		{"lines keep order", OutputExpect{Mode: "lines", Lines: []string{"c", "a"}}, "a\nc\n", false},
		{"unordered", OutputExpect{Mode: "lines", Lines: []string{"c", "a"}, Unordered: true}, "a\nc\n", true},
		{"each line once", OutputExpect{Mode: "lines", Lines: []string{"a", "a"}, Unordered: true}, "a\nc\n", false},
		{"wildcard", OutputExpect{Mode: "lines", Lines: []string{"Version: '<*>'"}}, "Version: '1.2'", true},
		{"variable", OutputExpect{Mode: "lines", Lines: []string{"${x} y"}}, "v y", true},
		{"pattern", OutputExpect{Mode: "any", Patterns: []string{"^[0-9]+$"}}, "12a", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := tt.o.Judge(expandWith(t, "x", "v"), tt.out); (d == "") != tt.ok {
				t.Errorf("difference %q, want a match: %v", d, tt.ok)
			}
		})
	}
}

func TestVars(t *testing.T) {
	v := NewVars()
	v.SetPort("a.http", 8500)
	v.Set("x", "y")
	got := v.ExpandMap(map[string]any{"p": "${a.http}", "q": "${a.http}!", "${x}": []any{"${x}${z}", "${match(1)}"}})
	want := `{"p":8500,"q":"8500!","y":["y${z}","${match(1)}"]}`
	if brief(got) != want {
		t.Errorf("got %s, want %s", brief(got), want)
	}
	merged := mergeConfig(map[string]any{"a": map[string]any{"b": 1, "c": 2}, "d": 3}, map[string]any{"a": map[string]any{"b": nil, "e": 4}, "d": nil})
	if brief(merged) != `{"a":{"c":2,"e":4}}` {
		t.Errorf("merged %s", brief(merged))
	}
}

func TestJSONPath(t *testing.T) {
	doc, err := decodeJSON([]byte(`[{"ModifyIndex":7,"ID":"x","O":{"b":true}}]`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"$[0].ModifyIndex": "7", "$[0].ID": "x", "$[1].ID": "", "$.ID": "", "$[0].O.b": "true", "$[0].none": ""} {
		if got := jsonPath(doc, path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
}

func rrs(t *testing.T, lines ...string) []dns.RR {
	t.Helper()
	var out []dns.RR
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rr)
	}
	return out
}

func TestDNSJudge(t *testing.T) {
	base := func() *dns.Msg {
		m := new(dns.Msg)
		m.SetQuestion("web.service.consul.", dns.TypeSRV)
		m.Response, m.Authoritative = true, true
		m.Answer = rrs(t, "web.service.consul. 0 IN SRV 1 1 80 n1.node.consul.", "web.service.consul. 0 IN SRV 1 1 81 n2.node.consul.")
		m.Extra = rrs(t, "n1.node.consul. 0 IN A 10.0.0.1", "n2.node.consul. 0 IN A 10.0.0.2", `n1.node.consul. 0 IN TXT "consul-version=1.2"`)
		return m
	}
	expect := DNSExpect{
		Rcode: "NOERROR", Opcode: "QUERY", Flags: "qr aa rd", Question: []string{"web.service.consul. IN SRV"},
		Answer:     []string{"web.service.consul. 0 IN SRV 1 1 81 n2.node.consul.", "web.service.consul. 0 IN SRV 1 1 80 ${t}.node.consul."},
		Additional: []string{"n1.node.consul. 0 IN A 10.0.0.1", "n2.node.consul. 0 IN A 10.0.0.2"},
	}
	sample := func(c *DNSCase) {
		c.Compare.Answer = "sample"
		c.Expect.AnswerCount, c.Expect.AdditionalCount = &Range{1, 2}, &Range{1, 2}
	}
	tests := []struct {
		name   string
		change func(*dns.Msg, *DNSCase)
		bad    string // a word of the difference; "" means none
	}{
		{"equal", func(*dns.Msg, *DNSCase) {}, ""},
		{"ordered", func(_ *dns.Msg, c *DNSCase) { c.Compare.Answer = "ordered" }, "order"},
		{"first", func(_ *dns.Msg, c *DNSCase) { c.Compare.First = 1 }, "first 1"},
		{"rcode", func(m *dns.Msg, _ *DNSCase) { m.Rcode = dns.RcodeNameError }, "rcode"},
		{"flags", func(m *dns.Msg, _ *DNSCase) { m.RecursionAvailable = true }, "flags"},
		{"case of the question", func(m *dns.Msg, _ *DNSCase) { m.Question[0].Name = "Web.service.consul." }, "question"},
		{"ttl", func(m *dns.Msg, _ *DNSCase) { m.Answer[0].Header().Ttl = 9 }, "answer"},
		{"repetition in the answer", func(m *dns.Msg, _ *DNSCase) { m.Answer = append(m.Answer, m.Answer[0]) }, "answer"},
		{"repetition in additional", func(m *dns.Msg, _ *DNSCase) { m.Extra = append(m.Extra, m.Extra[0]) }, ""},
		{"missing additional", func(m *dns.Msg, _ *DNSCase) { m.Extra = m.Extra[:1] }, "additional"},
		{"authority", func(m *dns.Msg, _ *DNSCase) { m.Ns = rrs(t, "consul. 0 IN NS a.") }, "authority"},
		{"serial", func(m *dns.Msg, c *DNSCase) {
			m.Ns = rrs(t, "consul. 0 IN SOA ns.consul. h.consul. 77 1 2 3 4")
			c.Expect.Authority = []string{"consul. 0 IN SOA ns.consul. h.consul. <serial> 1 2 3 4"}
		}, ""},
		{"unwanted edns", func(m *dns.Msg, _ *DNSCase) { m.SetEdns0(1232, false) }, "edns"},
		{"any edns", func(m *dns.Msg, c *DNSCase) { m.SetEdns0(1232, false); c.Compare.EDNS = "any" }, ""},
		{"edns size", func(m *dns.Msg, c *DNSCase) { m.SetEdns0(1232, false); c.Expect.EDNS = &EDNSReply{Size: 512} }, "edns"},
		{"sample", func(m *dns.Msg, c *DNSCase) { sample(c); m.Answer = m.Answer[:1]; m.Extra = m.Extra[:1] }, ""},
		{"sample too small", func(m *dns.Msg, c *DNSCase) { sample(c); m.Answer = nil }, "want 1 to 2"},
		{"sample repeats", func(m *dns.Msg, c *DNSCase) { sample(c); m.Answer[1] = m.Answer[0] }, "repeated"},
		{"sample has a stranger", func(m *dns.Msg, c *DNSCase) { sample(c); m.Answer[0].Header().Ttl = 3 }, "unexpected"},
		{"targets", func(m *dns.Msg, c *DNSCase) {
			sample(c)
			c.Expect.TargetsResolved = true
			m.Extra = m.Extra[:1]
		}, "n2.node.consul."},
		{"size", func(_ *dns.Msg, c *DNSCase) { c.Expect.MaxSize = 60 }, "size"},
		{"compressed", func(m *dns.Msg, c *DNSCase) {
			m.Compress = true
			c.Compare.Compression, c.Expect.Compressed = true, true
		}, ""},
		{"not compressed", func(_ *dns.Msg, c *DNSCase) { c.Compare.Compression, c.Expect.Compressed = true, true }, "compressed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, c := base(), &DNSCase{Expect: expect}
			tt.change(m, c)
			wire, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			r := &reply{msg: new(dns.Msg), wire: wire}
			if err := r.msg.Unpack(wire); err != nil {
				t.Fatal(err)
			}
			diff := strings.Join(c.judge(r, expandWith(t, "t", "n1")), "\n")
			if tt.bad == "" && diff != "" || tt.bad != "" && !strings.Contains(diff, tt.bad) {
				t.Errorf("difference %q, want %q", diff, tt.bad)
			}
		})
	}
}

func TestQueryBuild(t *testing.T) {
	q := &DNSQuery{Name: "${n}.consul.", Type: "TYPE65", Class: "CLASS42", CD: true, NoRD: true, Opcode: "NOTIFY", EDNS: &EDNSSpec{Size: 1400, ECS: "10.0.0.0/8", Version: 1}}
	wire, id, err := q.build(expandWith(t, "n", "web"))
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	got := m.Question[0]
	if m.Id != id || m.RecursionDesired || !m.CheckingDisabled || m.Opcode != dns.OpcodeNotify || got.Name != "web.consul." || got.Qtype != 65 || got.Qclass != 42 {
		t.Errorf("built %v", m)
	}
	if o := m.IsEdns0(); o == nil || o.UDPSize() != 1400 || o.Version() != 1 || len(o.Option) != 1 {
		t.Errorf("OPT %v", m.IsEdns0())
	}
	raw, id, err := (&DNSQuery{Raw: "00 00 01 00"}).build(nil)
	if err != nil || hex.EncodeToString(raw) != hex.EncodeToString([]byte{byte(id >> 8), byte(id), 1, 0}) {
		t.Errorf("raw %x, %v", raw, err)
	}
}

func TestRecursor(t *testing.T) {
	r, err := startRecursor(RecursorSpec{Name: "r", RA: true,
		Records:   []string{"a.example. 5 IN CNAME b.example.", "b.example. 6 IN A 192.0.2.1"},
		Overrides: []RecursorOverride{{Name: "bad.example.", Rcode: "SERVFAIL"}, {Name: "drop.example.", Drop: true}, {Name: "tc.example.", TC: true}}}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ask := func(name string) *reply {
		t.Helper()
		got, err := (&DNSQuery{Name: name, Type: "A"}).ask(r.addr, expandWith(t))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := rrTexts(ask("A.example.").msg.Answer)
	if strings.Join(got, "|") != "A.example. 5 IN CNAME b.example.|b.example. 6 IN A 192.0.2.1" {
		t.Errorf("chain %q", got)
	}
	if m := ask("none.example.").msg; m.Rcode != dns.RcodeNameError || !m.RecursionAvailable {
		t.Errorf("unknown name: %v", m)
	}
	if m := ask("bad.example.").msg; m.Rcode != dns.RcodeServerFailure {
		t.Errorf("override: %v", m)
	}
	if m := ask("tc.example.").msg; !m.Truncated {
		t.Errorf("tc: %v", m)
	}
	if _, err := (&DNSQuery{Name: "drop.example.", Type: "A", TimeoutMS: 50}).ask(r.addr, expandWith(t)); err == nil {
		t.Error("a dropped question was answered")
	}
}

func TestVectorsLoad(t *testing.T) {
	files, err := LoadDNS("testdata/dns")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]*DNSCase{}
	for _, f := range files {
		for _, p := range f.Phases {
			for i := range p.Cases {
				ids["dns/"+f.Name+"/"+p.Cases[i].ID] = &p.Cases[i]
			}
		}
	}
	steps := map[string]bool{}
	for _, kind := range []string{"http", "cli"} {
		scripts, err := LoadScripts("testdata/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range scripts {
			if areaOwners[s.Area] == "" {
				t.Errorf("%s: area %q has no owner", s.Name, s.Area)
			}
			for _, st := range s.Steps {
				steps[kind+"/"+s.Name+"/"+st.Name] = true
			}
		}
	}
	dev, err := LoadDeviations("testdata/deviations.json")
	if err != nil {
		t.Fatal(err)
	}
	for key, d := range dev.byCase {
		c, ok := ids[key]
		if !ok && !steps[key] {
			t.Errorf("deviation %s names no recorded case", key)
		}
		if ok && !c.Quirk && d.Demanded == "" {
			t.Errorf("deviation %s: the case is no quirk, so it must be as recorded", key)
		}
		if ok {
			if _, err := overlay(c.Expect, d); err != nil {
				t.Errorf("deviation %s: %v", key, err)
			}
		}
	}
	for key, c := range ids {
		if c.Kind == "better" && dev.byCase[key] == nil && !strings.HasPrefix(key, "dns/two-dc") && !strings.HasPrefix(key, "dns/prepared") {
			t.Errorf("%s asks for better behaviour (%s) that no deviation promises", key, c.Why)
		}
	}
}

func TestCrash(t *testing.T) {
	for log, want := range map[string]bool{
		"all is well\n": false, "x\npanic: boom\n": true, "==================\nWARNING: DATA RACE\n": true, "why: don't panic: never\n": false,
	} {
		a := &Agent{Name: "a", Dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(a.Dir, "agent.log"), []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := a.crash(); (got != "") != want {
			t.Errorf("%q: %q", log, got)
		}
	}
}
