package dnsserver

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/internal/tlsx"
	"consul.internal/view"
)

// certificate is one that the test's clients do not verify.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	now := time.Now()
	pair, err := tlsx.MintAuthority(tlsx.AuthorityRequest{Domain: "consul", NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := tlsx.ReadAuthority(pair)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.Mint(tlsx.Request{Role: tlsx.Server, Datacenter: "dc1", Domain: "consul", NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"dot"}, MinVersion: tls.VersionTLS12}
}

// shown is a server over a small catalog.
func shown(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	d := view.NewDirectory()
	b := catalog.Batch{Index: 7, Reset: true}
	add := func(node, addr string, s *catalog.Service, status catalog.Status) {
		i := &catalog.Instance{Node: &catalog.Node{Name: node, Address: addr}, Service: s}
		i.Checks = []*catalog.Check{{Node: node, CheckID: "c-" + node, Status: status}}
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.NodeSet, Node: i.Node}, catalog.Change{Op: catalog.InstanceSet, Instance: i})
	}
	web := func(tag string) *catalog.Service {
		return &catalog.Service{ID: "web", Name: "web", Port: 80, Tags: []string{tag}, Weights: catalog.DefaultWeights}
	}
	add("n1", "10.0.0.1", web("blue"), catalog.Passing)
	add("n2", "10.0.0.2", web("red"), catalog.Passing)
	add("n3", "10.0.0.3", web("blue"), catalog.Critical)
	add("n4", "fd00::4", web("blue"), catalog.Passing)
	d.Apply(b)
	d.SetReady()
	cfg := DefaultConfig()
	cfg.Addrs = []string{"127.0.0.1:0"}
	cfg.SOA.MinTTL = 9
	cfg.ServiceTTL = map[string]time.Duration{"*": 5 * time.Second}
	change(&cfg)
	s, err := New(cfg, Deps{Source: view.NewLocal("dc1", d), Logger: zap.NewNop(), TLS: certificate(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestTLS(t *testing.T) {
	s := shown(t, func(c *Config) {
		c.TLSAddrs = []string{"127.0.0.1:0"}
		c.Limits.TCPConnsPerAddr, c.Limits.TCPIdle = 1, 200*time.Millisecond
	})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr := TLSAddrs(s)[0].String()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	// Several questions in one go, answered in their order.
	names := []string{"n1.node.consul.", "n2.node.consul.", "nosuch.node.consul."}
	var out []byte
	for _, n := range names {
		out = append(out, frame(t, question(n, dns.TypeA))...)
	}
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		m, err := readFrame(c)
		if err != nil || m.Question[0].Name != n || !m.Authoritative {
			t.Fatalf("%s: %v, %v", n, m, err)
		}
	}
	second, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a connection above the limit was served")
	}
	_ = second.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a silent connection ended with %v", err)
	}
}

func TestTLSNeedsCertificate(t *testing.T) {
	cfg := DefaultConfig()
	cfg.TLSAddrs = []string{"127.0.0.1:0"}
	if _, err := New(cfg, Deps{Source: view.NewLocal("dc1", view.NewDirectory()), Logger: zap.NewNop()}); err == nil {
		t.Error("a server without a certificate was made")
	}
}

func TestMessage(t *testing.T) {
	d := NewDirect(shown(t, func(*Config) {}))
	from := netip.MustParseAddr("192.0.2.1")
	for _, tt := range []struct {
		name string
		ttl  uint32
	}{{"web.service.consul.", 5}, {"nosuch.service.consul.", 9}, {"example.com.", 0}, {"n1.node.consul.", 0}} {
		req, err := question(tt.name, dns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		reply, ttl := d.Message(req, from)
		var m dns.Msg
		if err := m.Unpack(reply); err != nil || ttl != tt.ttl || m.Question[0].Name != tt.name {
			t.Errorf("%s: %v, TTL %d, want %d\n%v", tt.name, err, ttl, tt.ttl, &m)
		}
	}
	for _, bad := range [][]byte{nil, {1, 2}, make([]byte, maxTCPQuery+1)} {
		if reply, _ := d.Message(bad, from); reply != nil {
			t.Errorf("%d bytes were answered", len(bad))
		}
	}
	if err := d.s.Close(); err != nil {
		t.Fatal(err)
	}
	if reply, _ := d.Message(make([]byte, headerLen), from); reply != nil {
		t.Error("a closed server answered")
	}
}

func TestExplain(t *testing.T) {
	d := NewDirect(shown(t, func(c *Config) { c.ARecordLimit = 1 }))
	from := netip.MustParseAddr("192.0.2.1")
	explain := func(name, qtype string) *Explanation {
		e, err := d.Explain(t.Context(), name, qtype, from)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	verdicts := func(e *Explanation) map[string]string {
		out := map[string]string{}
		for _, i := range e.Instances {
			out[i.Node] = i.Reason
			if i.Given {
				out[i.Node] = "given"
			}
		}
		return out
	}
	e := explain("blue.web.service.consul", "a")
	v := verdicts(e)
	if v["n1"] != "given" || !strings.Contains(v["n2"], `tag "blue"`) || !strings.Contains(v["n3"], `"c-n3" is critical`) || !strings.Contains(v["n4"], "no record of this type") {
		t.Error(v)
	}
	if e.Kind != "service" || e.Label != "web" || e.Tag != "blue" || e.Datacenter != "dc1" || e.By != "zone" || e.Status != "NOERROR" ||
		len(e.Views) != 1 || e.Views[0].Index != 7 || e.Views[0].Source != "the own state of this server" || !strings.Contains(e.Answer, "10.0.0.1") {
		t.Errorf("%+v", e)
	}
	v = verdicts(explain("web.service.consul", "A"))
	if one := (v["n1"] == "given") != (v["n2"] == "given"); !one || !strings.Contains(v["n1"]+v["n2"], "a_record_limit") {
		t.Error(v)
	}
	if e := explain("n1.node.consul", "A"); e.Kind != "node" || len(e.Views) != 1 || len(e.Instances) != 0 {
		t.Errorf("%+v", e)
	}
	if e := explain("example.com", "A"); e.Status != "REFUSED" || !strings.HasPrefix(e.By, "nobody") {
		t.Errorf("%+v", e)
	}
	for _, bad := range [][2]string{{"web.service.consul", "NOPE"}, {"a..b", "A"}, {"", "A"}} {
		if _, err := d.Explain(t.Context(), bad[0], bad[1], from); err == nil {
			t.Errorf("%v was explained", bad)
		}
	}
}
