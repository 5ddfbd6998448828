package daemon_test

import (
	"slices"
	"strings"
	"testing"

	"consul.internal/catalog"
	"consul.internal/internal/aclmatrix"
	"consul.internal/rpc"
	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// dnsRow is one line of testdata/matrix/dns.txt.
type dnsRow struct {
	line  int
	name  string
	qtype uint16
	takes aclmatrix.Ways
	text  string
	rcode int // without
}

func (m *matrix) readDNS() (rows []*dnsRow) {
	m.t.Helper()
	lines, err := aclmatrix.Read("testdata/matrix/dns.txt", 5)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, l := range lines {
		name, qtype, _ := strings.Cut(l.Cells[0], " ")
		r := &dnsRow{line: l.Number, name: m.fill(name), qtype: dns.StringToType[strings.TrimSpace(qtype)], text: m.fill(l.Cells[2])}
		var known bool
		r.takes, err = aclmatrix.ParseWays(l.Cells[1])
		r.rcode, known = dns.StringToRcode[l.Cells[3]]
		if err != nil || r.qtype == 0 || known != (len(r.takes) > 0) || r.text == "" {
			m.t.Fatalf("line %d: %v", l.Number, err)
		}
		rows = append(rows, r)
	}
	return rows
}

// judge says what is wrong with an answer, "" for nothing.
func (r *dnsRow) judge(b *bearer, a *dns.Msg) string {
	holds := slices.ContainsFunc(slices.Concat(a.Answer, a.Extra), func(rr dns.RR) bool { return strings.Contains(rr.String(), r.text) })
	switch {
	case b.suffices(r.takes) && (a.Rcode != dns.RcodeSuccess || !holds):
		return "does not see " + r.text
	case !b.suffices(r.takes) && holds:
		return "sees " + r.text
	case !b.suffices(r.takes) && a.Rcode != r.rcode:
		return "is not told " + dns.RcodeToString[r.rcode]
	}
	return ""
}

// marks are two nodes: DNS sees one of them with each of the rules that follow one
// another, so that the test knows which hold.
var marks = [2]string{"mark-0", "mark-1"}

// show lets DNS be answered by other rules, and waits until it is.
func (m *matrix) show(t *testing.T, policy *api.ACLPolicy, rules string, i int) {
	t.Helper()
	seen, hidden := marks[i%2], marks[(i+1)%2]
	policy.Rules = rules + `node "` + seen + `" { policy = "read" }` + "\n" + `node "` + hidden + `" { policy = "deny" }`
	if _, _, err := m.client.ACL().PolicyUpdate(policy, nil); err != nil {
		t.Fatal(err)
	}
	m.await(t, "the rules to hold for DNS", func() bool {
		return m.dig(t, hidden+".node.consul.", dns.TypeA).Rcode == dns.RcodeNameError && len(m.dig(t, seen+".node.consul.", dns.TypeA).Answer) == 1
	})
}

func (m *matrix) setDNSToken(t *testing.T, secret string) {
	t.Helper()
	if _, err := m.client.Raw().Write("/v1/agent/token/dns", map[string]string{"Token": secret}, nil, nil); err != nil {
		t.Fatal(err)
	}
}

// TestDNSMatrix asks for every form of name with every single right of the token of DNS,
// with all that a name takes together, with none, with no token and with one that is
// gone: exactly those that the table names are answered.
func TestDNSMatrix(t *testing.T) {
	m := newMatrix(t)
	rows := m.readDNS()
	for i, name := range marks {
		ask(m, rpc.CatalogRegister, &rpc.RegisterRequest{Target: m.root(), Node: &catalog.Node{Name: name, Address: "10.9.0." + string(rune('1'+i))}})
	}
	token := m.newToken(t, "of-dns", "")
	policy := &api.ACLPolicy{ID: token.Policies[0].ID, Name: "of-dns"}
	m.setDNSToken(t, token.SecretID)
	var ways []aclmatrix.Ways
	for _, r := range rows {
		ways = append(ways, r.takes)
	}
	order, grants := aclmatrix.Grants(matrixNames(), ways)
	asked := 0
	look := func(t *testing.T, b *bearer) {
		t.Helper()
		for _, r := range rows {
			asked++
			a := m.dig(t, r.name, r.qtype)
			if what := r.judge(b, a); what != "" {
				t.Errorf("line %d: %s %s: %v", r.line, b.name, what, a)
			}
		}
	}
	for i, name := range slices.Concat([]string{""}, order) {
		g := grants[name]
		t.Run("with "+name, func(t *testing.T) {
			m.show(t, policy, g.Rules, i)
			look(t, &bearer{Grant: g, name: name})
		})
	}
	t.Run("management", func(t *testing.T) {
		m.setDNSToken(t, rootToken)
		m.await(t, "the token", func() bool {
			return !slices.ContainsFunc(marks[:], func(name string) bool { return len(m.dig(t, name+".node.consul.", dns.TypeA).Answer) == 0 })
		})
		look(t, &bearer{name: "management", all: true})
	})
	t.Run("anonymous", func(t *testing.T) {
		m.setDNSToken(t, "")
		m.await(t, "the token", func() bool {
			return !slices.ContainsFunc(marks[:], func(name string) bool { return m.dig(t, name+".node.consul.", dns.TypeA).Rcode != dns.RcodeNameError })
		})
		look(t, &bearer{name: "anonymous"})
	})
	t.Run("a token that is gone", func(t *testing.T) {
		m.setDNSToken(t, token.SecretID)
		m.show(t, policy, aclmatrix.Both([]aclmatrix.Right{{Resource: "service", Access: "read", Name: "*"}, {Resource: "node", Access: "read", Name: "*"}}).Rules, 0)
		if a := m.dig(t, "q.query.consul.", dns.TypeA); len(a.Answer) != 1 {
			t.Fatal(a)
		}
		if _, err := m.client.ACL().TokenDelete(token.AccessorID, nil); err != nil {
			t.Fatal(err)
		}
		m.await(t, "the end of its answers", func() bool {
			return m.dig(t, "n1.node.consul.", dns.TypeA).Rcode == dns.RcodeServerFailure
		})
		for _, r := range rows {
			if len(r.takes) == 0 {
				continue
			}
			// Nobody is known by an address, and the zone is there in any case; for the rest, a person must learn that the token is wrong.
			a, want := m.dig(t, r.name, r.qtype), dns.RcodeServerFailure
			if r.qtype == dns.TypePTR || r.qtype == dns.TypeNS {
				want = r.rcode
			}
			if a.Rcode != want || len(a.Answer) > 0 {
				t.Errorf("line %d: %v", r.line, a)
			}
		}
	})
	t.Logf("%d questions in the name of %d tokens", asked, len(order)+3)
}

// TestDNSTokenOfAClientIsForgotten: what a client learned of a prepared query in the name
// of one token is not given in the name of another one, or after it is gone.
func TestDNSTokenOfAClientIsForgotten(t *testing.T) {
	server := closedServer(t, freeAddr(t), "-node=s")
	if err := server.client.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 80}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.client.PreparedQuery().Create(&api.PreparedQueryDefinition{Name: "q", Service: api.ServiceQuery{Service: "web"}}, nil); err != nil {
		t.Fatal(err)
	}
	reads := server.newToken(t, "reads", `service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`)
	poor := server.newToken(t, "poor", `node_prefix "" { policy = "read" }`)
	client := &matrix{t: t, node: launch(t, freeAddr(t), rootToken, "-node=c", "-data-dir="+t.TempDir(), "-retry-join="+server.addr, "-hcl", denyAll)}
	given := func(n int) func() bool {
		return func() bool { return len(client.dig(t, "q.query.consul.", dns.TypeSRV).Answer) == n }
	}
	client.await(t, "the servers", func() bool {
		list, _, err := client.client.Catalog().Service("web", "", nil)
		return err == nil && len(list) == 1
	})
	for _, gone := range []bool{false, true} {
		client.setDNSToken(t, reads.SecretID)
		client.await(t, "the answer", given(1))
		for range 10 {
			if !given(1)() {
				t.Error("the answer comes and goes")
			}
		}
		if !gone {
			client.setDNSToken(t, poor.SecretID)
			if !given(0)() {
				t.Error("the answer is given in the name of another token")
			}
			continue
		}
		if _, err := server.client.ACL().TokenDelete(reads.AccessorID, nil); err != nil {
			t.Fatal(err)
		}
		client.await(t, "the end of the answer", given(0))
		for range 10 {
			if !given(0)() {
				t.Error("the answer is back without its token")
			}
		}
	}
}
