package dnsserver

import (
	"cmp"
	"context"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
)

// Explanation says how a question is answered now, and why so.
type Explanation struct {
	Name       string
	Type       string
	Kind       string // of the name: service, node, query, ...
	Datacenter string // that the name is about
	Label      string // what it asks for there
	Tag        string
	By         string // who answers: the zone, the recursors, or nobody
	Stale      bool
	Views      []ExplainedView
	Instances  []ExplainedInstance
	Status     string // of the answer, as dig calls it
	Answer     string // as dig shows it
	Note       string `json:",omitempty"` // what could not be found out
}

// ExplainedView is something in the agent's memory that the answer is made of.
type ExplainedView = zone.Looked

// ExplainedInstance is what became of an instance of the service.
type ExplainedInstance struct {
	Node    string
	ID      string
	Address string
	Port    int
	Status  string
	Given   bool   // it stands in the answer
	Reason  string // why, or why not
}

// explainedSize is the message that an explained answer has to fit: that of most
// resolvers.
const explainedSize = 1232

// MaxExplained bounds how many instances are explained.
const MaxExplained = 4096

// Explain answers a question as one over UDP with EDNS, and tells how that came about.
func (d Direct) Explain(ctx context.Context, name, qtype string, from netip.Addr) (*Explanation, error) {
	s := d.s
	t, ok := dns.StringToType[strings.ToUpper(qtype)]
	if !ok {
		return nil, fault.Newf(fault.Invalid, "%q is not a type of DNS records", qtype)
	}
	name = dns.Fqdn(name)
	if _, ok := dns.IsDomainName(name); !ok || name == "." {
		return nil, fault.Newf(fault.Invalid, "%q is not a domain name", name)
	}
	if !enter(s) {
		return nil, errClosing
	}
	defer s.queries.Done()
	m := new(dns.Msg)
	m.SetQuestion(name, t)
	m.SetEdns0(explainedSize, false)
	r := s.reply(m, m.IsEdns0(), asker{addr: from.Unmap()})
	live := s.live.Load()
	parsed := live.zone.Parse(name)
	out := &Explanation{
		Name: name, Type: dns.TypeToString[t], Kind: parsed.Kind.String(), Label: parsed.Label, Tag: parsed.Tag,
		By: "zone", Status: dns.RcodeToString[r.Rcode], Answer: r.String(), Views: []ExplainedView{}, Instances: []ExplainedInstance{},
	}
	if parsed.Kind != zone.Outside {
		out.Datacenter = parsed.Datacenter
		if !live.zone.Remote(parsed) && out.Datacenter == "" {
			out.Datacenter = live.cfg.Datacenter
		}
	}
	switch {
	case parsed.Kind == zone.Outside && !s.recursor.Serves(from):
		out.By = "nobody: the name is outside of the zone, and there are no recursors for this asker"
		return out, nil
	case !r.Authoritative && s.recursor.Serves(from) && outside(parsed, name, r.Rcode), parsed.Kind == zone.Outside:
		out.By = "recursors"
		return out, nil
	}
	trace(ctx, s, live, parsed, t, from, r, out)
	return out, nil
}

// trace looks at what the zone looked at.
func trace(ctx context.Context, s *Server, live *live, name zone.Name, qtype uint16, from netip.Addr, r *dns.Msg, out *Explanation) {
	ctx, cancel := context.WithTimeout(ctx, live.cfg.Limits.RemoteTimeout)
	defer cancel()
	w := &zone.Witness{Source: s.deps.Source, Own: live.cfg.Datacenter}
	z := live.zone.With(w, func(int, func(i, j int)) {})
	a := z.AnswerTo(ctx, name, qtype, from)
	out.Stale, out.Views = a.Stale, append(out.Views, w.Views...)
	if name.Kind != zone.Service || w.First == nil {
		return
	}
	for _, i := range w.First.Instances[:min(len(w.First.Instances), MaxExplained)] {
		e := ExplainedOf(i)
		e.Given, e.Reason = z.Verdict(ctx, name, qtype, w.First, i, r, &a)
		out.Instances = append(out.Instances, e)
	}
}

// ExplainedOf is an instance of which nothing is said yet.
func ExplainedOf(i *catalog.Instance) ExplainedInstance {
	return ExplainedInstance{
		Node: i.Node.Name, ID: i.Service.ID, Address: cmp.Or(i.Service.Address, i.Node.Address), Port: i.Service.Port, Status: string(i.Status()),
	}
}
