package dnsserver

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap/zaptest"

	"consul.internal/catalog"
	"consul.internal/view"
)

// The recorded DNS cases are replayed here against the server without sockets,
// agent and store; the real runner does it against a whole agent.
const vectorDir = "../internal/conformance/testdata/dns"

var showQuirks = flag.Bool("quirks", false, "print how quirk cases differ from their recording, as JSON")

type vectorFile struct {
	Name    string `json:"name"`
	Fixture struct {
		Agents []struct {
			Config map[string]json.RawMessage `json:"config"`
		} `json:"agents"`
	} `json:"fixture"`
	Phases []struct {
		Steps []vectorStep `json:"steps"`
		Cases []vectorCase `json:"cases"`
	} `json:"phases"`
}

type vectorStep struct {
	Op     string                     `json:"op"`
	Path   string                     `json:"path"`
	Body   json.RawMessage            `json:"body"`
	Config map[string]json.RawMessage `json:"config"`
}

type vectorCase struct {
	ID    string `json:"id"`
	Quirk bool   `json:"quirk"`
	Kind  string `json:"kind"`
	Why   string `json:"why"`
	Query struct {
		Name, Type, Class, Net, Raw string
		Opcode                      string
		CD, AD, QR                  bool
		NoRD                        bool `json:"no_rd"`
		NoQuestion                  bool `json:"no_question"`
		Questions                   []string
		EDNS                        *struct {
			Size    uint16
			DO      bool
			Version uint8
			NSID    bool
		}
	}
	Expect  vectorExpect
	Compare struct {
		Answer, EDNS         string
		Shuffle, Compression bool
	}
}

type vectorRange struct{ Min, Max int }

type vectorExpect struct {
	NoResponse      bool         `json:"no_response"`
	Rcode           string       `json:"rcode"`
	Flags           string       `json:"flags"`
	Answer          []string     `json:"answer"`
	Authority       []string     `json:"authority"`
	Additional      []string     `json:"additional"`
	EDNS            *vectorEDNS  `json:"edns"`
	AnswerCount     *vectorRange `json:"answer_count"`
	AdditionalCount *vectorRange `json:"additional_count"`
	TargetsResolved bool         `json:"targets_resolved"`
	Compressed      bool         `json:"compressed"`
	MaxSize         int          `json:"max_size"`
}

type vectorEDNS struct {
	Size    uint16 `json:"size"`
	DO      bool   `json:"do"`
	Version uint8  `json:"version"`
}

// owned says whether the cases of a file can be answered with what is built: one
// datacenter, no ACL, no recursors, no mesh. Of the other files single cases are
// left out below.
func owned(name string) bool {
	for _, p := range []string{"acl-", "connect", "two-dc", "recursor", "prepared"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return true
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded cases in %s: %v", vectorDir, err)
	}
	table := deviations(t)
	total, later, quirks, fast := 0, 0, 0, 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f vectorFile
		if err := json.Unmarshal(raw, &f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !owned(f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			x := newFixture(t, &f)
			for _, p := range f.Phases {
				for _, s := range p.Steps {
					x.step(s)
				}
				x.apply()
				for _, c := range p.Cases {
					total++
					// Prepared queries need servers to execute them, and some replies recursors: the whole
					// agent's run has them.
					if strings.Contains(strings.ToLower(c.Query.Name), ".query.") && !c.Quirk && c.Expect.Rcode != "NXDOMAIN" ||
						strings.Contains(c.Expect.Flags, " ra") {
						later++
						continue
					}
					listed := overlay(t, table, f.Name, &c)
					diffs := x.ask(c)
					switch {
					case c.Quirk && len(diffs) > 0 && !listed:
						quirks++
						x.showQuirk(c)
					case len(diffs) > 0:
						t.Errorf("%s: %s", c.ID, strings.Join(diffs, "\n\t"))
					}
				}
			}
			fast += x.fast
		})
	}
	t.Logf("%d cases: %d quirks differ and are not judged here, %d cases belong to later parts; the fast path gave %d replies",
		total, quirks, later, fast)
	if fast < total/4 { // most of the others are of forms that it leaves alone
		t.Errorf("the fast path gave %d replies to %d cases", fast, total)
	}
}

// deviation is an entry of the table of cases that are answered differently on
// purpose.
type deviation struct {
	Suite, File string
	Cases       []string
	Expect      json.RawMessage
}

func deviations(t *testing.T) (out []deviation) {
	raw, err := os.ReadFile(filepath.Join(vectorDir, "..", "deviations.json"))
	if err != nil {
		t.Fatal(err)
	}
	mustJSON(t, raw, &out)
	return out
}

// overlay puts what the table says over the recorded reply, and reports whether
// it says anything.
func overlay(t *testing.T, table []deviation, file string, c *vectorCase) bool {
	for _, d := range table {
		if d.Suite == "dns" && d.File == file && slices.Contains(d.Cases, c.ID) {
			mustJSON(t, d.Expect, &c.Expect)
			return true
		}
	}
	return false
}

// fixture is a server over a catalog that the steps of a file make.
type fixture struct {
	t      *testing.T
	file   string
	own    string
	nodes  map[string]*catalog.Node
	svcs   map[[2]string]*catalog.Service
	checks map[[2]string]*catalog.Check
	dir    *view.Directory
	srv    *Server
	index  uint64
	fast   int // replies that the fast path gave, the second time

	shuffle func(n int, swap func(i, j int))
}

const (
	ownAddr = "127.0.7.1"
	ownHex  = "7f000701"
)

func expand(s string) string {
	return strings.NewReplacer("${a.addr}", ownAddr, "${a.hex}", ownHex, "${a.server}", "8300",
		"${a.arpa}", "1.7.0.127.in-addr.arpa").Replace(s)
}

func newFixture(t *testing.T, f *vectorFile) *fixture {
	x := &fixture{
		t: t, file: f.Name, nodes: map[string]*catalog.Node{}, svcs: map[[2]string]*catalog.Service{},
		checks: map[[2]string]*catalog.Check{}, dir: view.NewDirectory(), index: 10,
	}
	conf := f.Fixture.Agents[0].Config
	cfg := vectorConfig(t, conf)
	srv, err := New(cfg, Deps{Source: view.NewLocal(cfg.Datacenter, x.dir), Logger: zaptest.NewLogger(t),
		Shuffle: func(n int, swap func(i, j int)) { x.shuffle(n, swap) }})
	if err != nil {
		t.Fatal(err)
	}
	x.srv = srv
	x.own = "alpha"
	if v, ok := conf["node_name"]; ok {
		mustJSON(t, v, &x.own)
	}
	meta := map[string]string{"consul-version": "1.21.0", "consul-network-segment": ""}
	if v, ok := conf["node_meta"]; ok {
		mustJSON(t, v, &meta)
	}
	x.nodes[x.own] = &catalog.Node{Name: x.own, Address: ownAddr, Meta: meta, Datacenter: cfg.Datacenter,
		TaggedAddresses: map[string]string{"lan": ownAddr, "lan_ipv4": ownAddr, "wan": ownAddr, "wan_ipv4": ownAddr}}
	x.svcs[[2]string{x.own, "consul"}] = &catalog.Service{ID: "consul", Name: "consul", Port: 8300, Weights: catalog.DefaultWeights}
	x.checks[[2]string{x.own, catalog.SerfHealth}] = &catalog.Check{Node: x.own, CheckID: catalog.SerfHealth, Status: catalog.Passing}
	return x
}

func mustJSON(t *testing.T, raw []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
}

func vectorConfig(t *testing.T, conf map[string]json.RawMessage) Config {
	cfg := DefaultConfig()
	get := func(m map[string]json.RawMessage, k string, v any) {
		if raw, ok := m[k]; ok {
			mustJSON(t, raw, v)
		}
	}
	get(conf, "domain", &cfg.Domain)
	get(conf, "alt_domain", &cfg.AltDomain)
	get(conf, "datacenter", &cfg.Datacenter)
	get(conf, "translate_wan_addrs", &cfg.TranslateWANAddrs)
	var d map[string]json.RawMessage
	get(conf, "dns_config", &d)
	get(d, "only_passing", &cfg.OnlyPassing)
	get(d, "enable_truncate", &cfg.EnableTruncate)
	get(d, "udp_answer_limit", &cfg.UDPAnswerLimit)
	get(d, "a_record_limit", &cfg.ARecordLimit)
	get(d, "disable_compression", &cfg.DisableCompression)
	get(d, "enable_additional_node_meta_txt", &cfg.EnableAdditionalNodeMetaTXT)
	soa := map[string]*uint32{"refresh": &cfg.SOA.Refresh, "retry": &cfg.SOA.Retry, "expire": &cfg.SOA.Expire, "min_ttl": &cfg.SOA.MinTTL}
	var s map[string]json.RawMessage
	get(d, "soa", &s)
	for k, p := range soa {
		get(s, k, p)
	}
	var ttl string
	if get(d, "node_ttl", &ttl); ttl != "" {
		cfg.NodeTTL = mustDuration(t, ttl)
	}
	var ttls map[string]string
	get(d, "service_ttl", &ttls)
	cfg.ServiceTTL = map[string]time.Duration{}
	for k, v := range ttls {
		cfg.ServiceTTL[k] = mustDuration(t, v)
	}
	return cfg
}

func mustDuration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// registration is the body of a catalog or agent registration, as far as used.
type registration struct {
	Node, Address   string
	NodeMeta        map[string]string
	TaggedAddresses map[string]string
	Service         *catalog.Service
	Checks          []*catalog.Check
	ServiceID       string
}

func (x *fixture) step(s vectorStep) {
	switch {
	case s.Op == "wait", s.Op == "sleep":
	case s.Op == "reload":
		if err := x.srv.Reload(vectorConfig(x.t, s.Config)); err != nil {
			x.t.Fatal(err)
		}
	case s.Path == "/v1/query":
	case s.Path == "/v1/catalog/register":
		var r registration
		mustJSON(x.t, s.Body, &r)
		x.register(&r)
	case s.Path == "/v1/catalog/deregister":
		var r registration
		mustJSON(x.t, s.Body, &r)
		x.deregister(r.Node, r.ServiceID)
	case s.Path == "/v1/agent/service/register":
		var a struct {
			Name string
			ID   string
			catalog.Service
			Check *struct{ Status catalog.Status }
		}
		mustJSON(x.t, s.Body, &a)
		svc := a.Service
		svc.Name, svc.ID = a.Name, a.ID
		r := &registration{Node: x.own, Address: ownAddr, Service: &svc}
		if svc.ID == "" {
			svc.ID = svc.Name
		}
		if a.Check != nil {
			r.Checks = []*catalog.Check{{CheckID: "service:" + svc.ID, ServiceID: svc.ID, Status: a.Check.Status}}
		}
		x.register(r)
	case strings.HasPrefix(s.Path, "/v1/agent/service/deregister/"):
		x.deregister(x.own, filepath.Base(s.Path))
	case strings.HasPrefix(s.Path, "/v1/agent/check/pass/"):
		c := *x.checks[[2]string{x.own, filepath.Base(s.Path)}]
		c.Status = catalog.Passing
		x.checks[[2]string{x.own, c.CheckID}] = &c
	default:
		x.t.Fatalf("unknown step %+v", s)
	}
}

func (x *fixture) register(r *registration) {
	if r.Node != x.own {
		x.nodes[r.Node] = &catalog.Node{Name: r.Node, Address: r.Address, Meta: r.NodeMeta, TaggedAddresses: r.TaggedAddresses}
	}
	if s := r.Service; s != nil {
		if s.ID == "" {
			s.ID = s.Name
		}
		if s.Weights == (catalog.Weights{}) {
			s.Weights = catalog.DefaultWeights
		}
		x.svcs[[2]string{r.Node, s.ID}] = s
	}
	for _, c := range r.Checks {
		c.Node = r.Node
		x.checks[[2]string{r.Node, c.CheckID}] = c
	}
}

func (x *fixture) deregister(node, id string) {
	for k := range x.svcs {
		if k[0] == node && (id == "" || k[1] == id) {
			delete(x.svcs, k)
		}
	}
	if id == "" {
		delete(x.nodes, node)
	}
}

func (x *fixture) apply() {
	x.index++
	b := catalog.Batch{Index: x.index, Reset: true}
	for _, n := range x.nodes {
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.NodeSet, Node: n})
	}
	for k, s := range x.svcs {
		i := &catalog.Instance{Node: x.nodes[k[0]], Service: s}
		for ck, c := range x.checks {
			if ck[0] == k[0] && (c.ServiceID == "" || c.ServiceID == s.ID) {
				i.Checks = append(i.Checks, c)
			}
		}
		b.Changes = append(b.Changes, catalog.Change{Op: catalog.InstanceSet, Instance: i})
	}
	x.dir.Apply(b)
	x.dir.SetReady()
}

func (x *fixture) ask(c vectorCase) []string {
	tries := 1
	switch {
	case c.Compare.Answer == "sample":
		tries = 5
	case c.Compare.Shuffle:
		tries = 40
	}
	first := map[string]bool{}
	for range tries {
		m, wire := x.exchange(c)
		if diffs := judge(&c, m, wire); len(diffs) > 0 {
			return diffs
		}
		if m != nil && len(m.Answer) > 0 {
			first[m.Answer[0].String()] = true
		}
	}
	if c.Compare.Shuffle && len(first) < 2 {
		return []string{"the first answer is always the same"}
	}
	return nil
}

func (x *fixture) exchange(c vectorCase) (*dns.Msg, []byte) {
	tcp := c.Query.Net == "tcp"
	req := packQuery(x.t, c)
	x.shuffle = turned
	if samePaths(x.t, x.srv, req, asker{addr: local, tcp: tcp}) {
		x.fast++
	}
	x.shuffle = rand.Shuffle
	resp := x.srv.respond(req, make([]byte, udpBuffer), asker{addr: local, tcp: tcp})
	if resp == nil {
		return nil, nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(resp); err != nil {
		x.t.Fatalf("%s: the reply is broken: %v", c.ID, err)
	}
	if !c.Expect.NoResponse && m.Id != 4711 {
		x.t.Errorf("%s: id %d", c.ID, m.Id)
	}
	sane(x.t, c.ID, m, resp, tcp)
	return m, resp
}

// sane holds for every reply, recorded so or not.
func sane(t *testing.T, id string, m *dns.Msg, wire []byte, tcp bool) {
	if len(m.Question) != 1 || m.Rcode != dns.RcodeSuccess {
		return
	}
	for i, rr := range m.Answer {
		if slices.ContainsFunc(m.Answer[:i], func(o dns.RR) bool { return dns.IsDuplicate(o, rr) }) {
			t.Errorf("%s: %v is there twice", id, rr)
		}
		if q := m.Question[0].Qtype; rr.Header().Rrtype != q && rr.Header().Rrtype != dns.TypeCNAME && q != dns.TypeANY {
			t.Errorf("%s: %v does not answer %s", id, rr, dns.Type(q))
		}
	}
	limit := 512
	if o := m.IsEdns0(); o != nil {
		limit = int(o.UDPSize())
	}
	if !tcp && len(wire) > limit {
		t.Errorf("%s: %d bytes for an asker that takes %d", id, len(wire), limit)
	}
}

func packQuery(t *testing.T, c vectorCase) []byte {
	q := c.Query
	if q.Raw != "" {
		b, err := hex.DecodeString(strings.ReplaceAll(q.Raw, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 1 {
			b[0], b[1] = 4711>>8, 4711&0xFF
		}
		return b
	}
	m := new(dns.Msg)
	m.Id, m.RecursionDesired = 4711, !q.NoRD
	m.CheckingDisabled, m.AuthenticatedData, m.Response = q.CD, q.AD, q.QR
	if q.Opcode != "" {
		var ok bool
		if m.Opcode, ok = dns.StringToOpcode[q.Opcode]; !ok {
			m.Opcode, _ = strconv.Atoi(q.Opcode)
		}
	}
	questions := q.Questions
	if len(questions) == 0 && !q.NoQuestion {
		class := q.Class
		if class == "" {
			class = "IN"
		}
		questions = []string{expand(q.Name) + " " + class + " " + q.Type}
	}
	for _, s := range questions {
		f := strings.Split(s, " ")
		m.Question = append(m.Question, dns.Question{
			Name: f[0], Qclass: number(f[1], "CLASS", dns.StringToClass), Qtype: number(f[2], "TYPE", dns.StringToType)})
	}
	if e := q.EDNS; e != nil {
		o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		o.SetUDPSize(e.Size)
		o.SetVersion(e.Version)
		if e.DO {
			o.SetDo()
		}
		if e.NSID {
			o.Option = append(o.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		}
		m.Extra = append(m.Extra, o)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func number(s, prefix string, names map[string]uint16) uint16 {
	if v, ok := names[s]; ok {
		return v
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(s, prefix))
	return uint16(n)
}

// showQuirk prints what the server answers instead of a recorded quirk.
func (x *fixture) showQuirk(c vectorCase) {
	if !*showQuirks {
		return
	}
	m, _ := x.exchange(c)
	got := map[string]any{"no_response": m == nil}
	if m != nil {
		e := rendered(m)
		back := func(in []string) []string {
			out := []string{}
			for _, s := range in {
				out = append(out, strings.ReplaceAll(s, ownAddr, "${a.addr}"))
			}
			return out
		}
		got = map[string]any{"rcode": e.Rcode, "flags": e.Flags, "answer": back(e.Answer),
			"authority": back(e.Authority), "additional": back(e.Additional), "edns": e.EDNS}
	}
	out, err := json.Marshal(map[string]any{"file": x.file, "case": c.ID, "kind": c.Kind, "why": c.Why, "expect": got})
	if err != nil {
		x.t.Fatal(err)
	}
	fmt.Printf("QUIRK %s\n", out)
}
