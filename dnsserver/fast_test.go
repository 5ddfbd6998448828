package dnsserver

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/miekg/dns"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"consul.internal/catalog"
	"consul.internal/view"
)

// far is an asker that the guard counts for.
var far = netip.MustParseAddr("192.0.2.1")

// turned is an order that is none of the catalog's, and the same each time.
func turned(n int, swap func(i, j int)) {
	for i := range n / 2 {
		swap(i, n-1-i)
	}
	if n > 2 {
		swap(0, 1)
	}
}

// samePaths holds the replies of the two paths to a question against each other,
// byte by byte, and reports whether the fast one had one.
func samePaths(t testing.TB, s *Server, req []byte, from asker) bool {
	t.Helper()
	for began := time.Now().Unix(); ; began = time.Now().Unix() {
		fast, text := comparePaths(s, req, from)
		switch {
		case text == "":
			return fast
		case began == time.Now().Unix(): // else a cookie may have been made anew
			t.Error(text)
			return fast
		}
	}
}

func comparePaths(s *Server, req []byte, from asker) (fast bool, differ string) {
	want := bytes.Clone(s.full(req, make([]byte, udpBuffer), from))
	first := bytes.Clone(s.respond(req, make([]byte, udpBuffer), from)) // packs the answer
	second := s.quick(req, make([]byte, udpBuffer), from)
	if !bytes.Equal(first, want) {
		differ = fmt.Sprintf("question %x\nfirst %x\nfull  %x", req, first, want)
	}
	if second != nil && !bytes.Equal(second, want) {
		differ = fmt.Sprintf("question %x\n%v\nfast %x\nfull %x\n%v\n%v", req, unpacked(req), second, want, unpacked(second), unpacked(want))
	}
	return second != nil, differ
}

func unpacked(b []byte) string {
	var m dns.Msg
	if err := m.Unpack(b); err != nil {
		return err.Error()
	}
	return m.String()
}

// manyShapes is a catalog of random content.
func manyShapes(r *rand.Rand) *view.Directory {
	d := view.NewDirectory()
	d.Apply(shapes(r))
	d.SetReady()
	return d
}

// shapes makes a catalog with a name of each shape that answers have, in random
// numbers and with random content.
func shapes(r *rand.Rand) catalog.Batch {
	b := catalog.Batch{Index: 1 + r.Uint64N(1<<33), Reset: true}
	var nodes []*catalog.Node
	for i := range 12 {
		n := &catalog.Node{Name: fmt.Sprintf("node%d", i), Address: fmt.Sprintf("10.0.0.%d", i+1)}
		switch r.IntN(6) {
		case 0:
			n.Name = fmt.Sprintf("Node-%d.rack", i)
		case 1:
			n.Address = fmt.Sprintf("fd00::%x", i+1)
		case 2:
			n.Address = fmt.Sprintf("h%d.example.com", i)
		case 3:
			n.Meta = map[string]string{"os": "linux", "rack": fmt.Sprint(r.IntN(9)), "rfc1035-note": "with a text that is long enough to matter where there is little room"}
		}
		nodes = append(nodes, n)
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.NodeSet, Node: n})
	}
	for _, name := range shapeNames {
		n := r.IntN(8)
		if name == "many" {
			n = 60
		}
		kind := r.IntN(6)
		for i := range n {
			s := &catalog.Service{ID: fmt.Sprintf("%s%d", name, i), Name: name, Port: 8000 + r.IntN(3), Weights: catalog.DefaultWeights}
			node := nodes[r.IntN(len(nodes))]
			if kind < 3 { // each on a node of its own
				node = nodes[i%len(nodes)]
			}
			switch kind {
			case 1:
				s.Address = fmt.Sprintf("192.0.2.%d", i)
			case 2:
				s.Address = fmt.Sprintf("2001:db8::%d", i)
			case 4:
				s.Address = []string{"", "192.0.2.1", "other.example.com", "web.service.consul"}[r.IntN(4)]
			}
			if r.IntN(2) == 0 {
				s.Tags, s.Meta = []string{"blue", "v1.2"}, map[string]string{"k": "v"}
			}
			if r.IntN(6) == 0 {
				s.Meta = map[string]string{"dns-ttl": "30s", "svcb-alpn": "h2"}
			}
			if r.IntN(30) == 0 {
				s.Meta = map[string]string{"dns-answer-limit": "2"}
			}
			inst := &catalog.Instance{Node: node, Service: s}
			if kind == 5 || r.IntN(8) == 0 {
				inst.Checks = []*catalog.Check{{Node: node.Name, CheckID: "c", Status: []catalog.Status{catalog.Passing, catalog.Warning, catalog.Critical}[r.IntN(3)]}}
			}
			b.Changes = append(b.Changes, catalog.Change{Op: catalog.InstanceSet, Instance: inst})
		}
		if rules := someRules(r, name); rules != nil {
			b.Changes = append(b.Changes, catalog.Change{Op: catalog.ResolverSet, Resolver: rules})
		}
	}
	return b
}

// someRules are those of a service: mostly none.
func someRules(r *rand.Rand, name string) *catalog.Resolver {
	other := catalog.Target{Service: shapeNames[r.IntN(len(shapeNames))]}
	switch r.IntN(12) {
	case 0:
		return &catalog.Resolver{Service: name, DefaultSubset: "blue", Subsets: map[string]catalog.Subset{"blue": {Filter: "blue in Service.Tags"}}}
	case 1:
		return &catalog.Resolver{Service: name, Redirect: &other}
	case 2:
		return &catalog.Resolver{Service: name, Failover: map[string][]catalog.Target{"*": {{Datacenter: "dc2"}, other}}}
	}
	return nil
}

var shapeNames = []string{"web", "db", "cache", "Queue", "many", "a-very-long-name-of-a-service-that-leaves-little-room-for-answers"}

// shapeForms are the forms of names, for what stands before the keyword.
var shapeForms = []string{"%s.service.consul.", "%s.service.dc1.consul.", "%s.service.dc1.dc.consul.", "%s.SERVICE.Consul.", "blue.%s.service.consul.",
	"v1.2.%s.service.consul.", "_%s._tcp.service.consul.", "_%s._blue.service.dc1.consul.", "_%s._tcp.consul.", "%s.node.consul.", "web0 on node0._%s._tcp.consul.",
	"_8001._https.%s.service.consul.", "_services._dns-sd._udp.%s", "_%s._udp.consul.", "%s.node.dc1.consul.",
	"%s.service.alt.example.", "%s.service.dc2.consul.", "%s.service.any.consul.", "%s.service.all.consul.", "%s.query.consul.", "%s.addr.consul.",
	"%s.consul.", "%s.10.in-addr.arpa.", "%s.service.service.consul.", "%s.connect.consul.", "%s"}

var shapeWords = append([]string{"node1", "Node-3.rack", "node7", "nosuch", "0a000001", "1.0.0", "ns", "consul.", "service.consul.", "dc1.consul.",
	"service.dc1.consul.", "_tcp.consul.", "x.y", "service", "_x", "node.service", "dc.service"}, shapeNames...)

var shapeTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeANY, dns.TypeTXT, dns.TypeSOA, dns.TypePTR, dns.TypeCNAME, dns.TypeMX, dns.TypeAXFR, dns.TypeHTTPS, dns.TypeSVCB, 9999}

func shapeConfig(r *rand.Rand, addr string) Config {
	cfg := DefaultConfig()
	cfg.Addrs = []string{addr}
	cfg.AltDomain = "alt.example."
	cfg.UDPAnswerLimit = r.IntN(10)
	cfg.ARecordLimit = []int{0, 0, 1, 2, 5}[r.IntN(5)]
	cfg.EnableTruncate = r.IntN(2) == 0
	cfg.OnlyPassing = r.IntN(2) == 0
	cfg.EnableAdditionalNodeMetaTXT = r.IntN(3) > 0
	return cfg
}

func shapeQuestion(r *rand.Rand) []byte {
	name := shapeForms[r.IntN(len(shapeForms))]
	if r.IntN(3) == 0 {
		name = fmt.Sprintf(shapeForms[r.IntN(2)], shapeNames[r.IntN(len(shapeNames))])
	}
	if bytes.Contains([]byte(name), []byte("%s")) {
		name = fmt.Sprintf(name, shapeWords[r.IntN(len(shapeWords))])
	}
	if r.IntN(4) == 0 { // as resolvers do against forgery
		name = strings.Map(func(c rune) rune {
			if r.IntN(2) == 0 {
				return unicode.ToUpper(c)
			}
			return c
		}, name)
	}
	m := question(dns.Fqdn(name), shapeTypes[r.IntN(len(shapeTypes))])
	if r.IntN(2) == 0 {
		m.Question[0].Qtype = shapeTypes[r.IntN(3)] // what is asked most
	}
	m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = r.IntN(2) == 0, r.IntN(4) == 0, r.IntN(4) == 0
	if r.IntN(2) == 0 {
		m.SetEdns0([]uint16{0, 512, 513, 600, 900, 1232, 4096, 65535}[r.IntN(8)], r.IntN(4) == 0)
		if n := []int{0, 0, 8, 24, 32, 12}[r.IntN(6)]; n > 0 {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: strings.Repeat("01", n)})
		}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// The two paths say the same, whatever the catalog, the configuration and the
// question; also after each change.
func TestPathsAgree(t *testing.T) {
	answered, asked := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 5))
		dir := manyShapes(r)
		s, err := New(shapeConfig(r, "127.0.0.1:0"), Deps{Source: view.NewLocal("dc1", dir), Logger: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)), Shuffle: turned})
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			if r.IntN(10) == 0 { // an instance comes, goes or turns
				svc := dir.Service(catalog.Fold(shapeNames[r.IntN(len(shapeNames))]))
				if svc != nil && r.IntN(8) == 0 {
					c := catalog.Change{Op: catalog.ResolverGone, Resolver: &catalog.Resolver{Service: svc.Name}}
					if rules := someRules(r, svc.Name); rules != nil {
						c = catalog.Change{Op: catalog.ResolverSet, Resolver: rules}
					}
					dir.Apply(catalog.Batch{Index: dir.Index() + 1, Changes: []catalog.Change{c}})
				} else if svc != nil && len(svc.Instances) > 0 {
					i := *svc.Instances[r.IntN(len(svc.Instances))]
					i.Checks = []*catalog.Check{{Node: i.Node.Name, CheckID: "c", Status: []catalog.Status{catalog.Passing, catalog.Critical}[r.IntN(2)]}}
					op := catalog.InstanceSet
					if r.IntN(6) == 0 {
						op = catalog.InstanceGone
					}
					dir.Apply(catalog.Batch{Index: dir.Index() + 1, Changes: []catalog.Change{{Op: op, Instance: &i}}})
				}
			}
			if req := shapeQuestion(r); req != nil {
				asked++
				if samePaths(t, s, req, asker{addr: []netip.Addr{local, far}[r.IntN(2)], tcp: r.IntN(4) == 0}) {
					answered++
				}
			}
		}
		if st := s.Stats(); st.Panics != 0 {
			t.Fatalf("seed %d: %d panics", seed, st.Panics)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("the fast path answered %d of %d questions", answered, asked)
	if answered < asked/4 {
		t.Errorf("the fast path answered %d of %d questions", answered, asked)
	}
}

// Whatever the question's bytes, both paths say the same.
func FuzzPaths(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		if b := shapeQuestion(r); b != nil {
			f.Add(b, r.Uint64N(8), r.IntN(4) == 0)
		}
	}
	var servers []*Server
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 7))
		s, err := New(shapeConfig(r, "127.0.0.1:0"), Deps{Source: view.NewLocal("dc1", manyShapes(r)), Logger: zap.NewNop(), Shuffle: turned})
		if err != nil {
			f.Fatal(err)
		}
		servers = append(servers, s)
	}
	f.Fuzz(func(t *testing.T, req []byte, which uint64, tcp bool) {
		s := servers[which%uint64(len(servers))]
		samePaths(t, s, req, asker{addr: local, tcp: tcp})
		if s.Stats().Panics != 0 {
			t.Fatal("a panic")
		}
	})
}

// A query on the fast path allocates nothing.
func TestFastAllocates(t *testing.T) {
	s, err := New(DefaultConfig(), Deps{Source: webSource(3), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range benchQuestions {
		for _, edns := range []bool{false, true} {
			m := question(q.question, q.qtype)
			if edns {
				m.SetEdns0(4096, false)
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"}}
			}
			req, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			s.respond(req, make([]byte, udpBuffer), asker{addr: local})
			n := max(fastAllocs(t, s, req, local), fastAllocs(t, s, req, far))
			if n != 0 {
				t.Errorf("%s: %v allocations for %d queries", q.name, n, batch)
			}
		}
	}
}

// What has changed is answered at once by who reads the question, out of what is known
// now; large answers are left to others.
func TestFastRenews(t *testing.T) {
	for _, c := range []struct {
		name      string
		instances int
		want      bool
	}{{"few", 3, true}, {"one", 1, true}, {"many", 100, false}} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(rand.New(rand.NewPCG(1, 1)))
			set := func(i, port int) {
				n := &catalog.Node{Name: fmt.Sprintf("n%d", i), Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), Datacenter: "dc1"}
				s := &catalog.Service{ID: "w", Name: "w", Port: port, Weights: catalog.DefaultWeights}
				p.feed.Apply(catalog.Batch{Index: p.dir.Index() + 1, Changes: []catalog.Change{
					{Op: catalog.NodeSet, Node: n}, {Op: catalog.InstanceSet, Instance: &catalog.Instance{Node: n, Service: s}},
				}})
			}
			for i := range c.instances {
				set(i, 80)
			}
			s, err := New(DefaultConfig(), Deps{Source: view.NewLocal("dc1", p.dir), Logger: zap.NewNop()})
			if err != nil {
				t.Fatal(err)
			}
			m := question("w.service.consul.", dns.TypeSRV)
			m.SetEdns0(65535, false)
			req, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			from := asker{addr: local, tcp: true}
			s.respond(req, make([]byte, udpBuffer), from)
			if s.quick(req, make([]byte, 1<<16), from) == nil {
				t.Fatal("the answer is not packed")
			}
			set(0, 8080)
			out := s.quick(req, make([]byte, 1<<16), from)
			if (out != nil) != c.want {
				t.Fatalf("answered: %v, want %v", out != nil, c.want)
			}
			if out == nil {
				return
			}
			var r dns.Msg
			if err := r.Unpack(out); err != nil {
				t.Fatal(err)
			}
			found := false
			for _, rr := range r.Answer {
				srv, is := rr.(*dns.SRV)
				found = found || is && srv.Port == 8080
			}
			if len(r.Answer) != c.instances || !found {
				t.Errorf("the answer is not of now:\n%v", &r)
			}
		})
	}
}
