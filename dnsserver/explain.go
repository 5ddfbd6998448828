package dnsserver

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
	"consul.internal/view"
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
}

// ExplainedView is something in the agent's memory that the answer is made of.
type ExplainedView struct {
	Kind       string
	Datacenter string
	Name       string
	Source     string // what keeps it up to date
	Index      uint64
	Stale      bool
	AgeMillis  int64 // how long ago it was certainly right; 0 is now
	Error      string
}

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

// maxExplained bounds how many instances are explained.
const maxExplained = 4096

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
	w := &witness{Source: s.deps.Source, own: live.cfg.Datacenter}
	z := live.zone.With(w, func(int, func(i, j int)) {})
	a := z.AnswerTo(ctx, name, qtype, from)
	out.Stale, out.Views = a.Stale, append(out.Views, w.views...)
	if name.Kind != zone.Service || w.service == nil {
		return
	}
	for _, i := range w.service.Instances[:min(len(w.service.Instances), maxExplained)] {
		e := ExplainedInstance{
			Node: i.Node.Name, ID: i.Service.ID, Address: i.Service.Address, Port: i.Service.Port, Status: string(i.Status()),
		}
		if e.Address == "" {
			e.Address = i.Node.Address
		}
		e.Given, e.Reason = verdict(ctx, z, name, qtype, i, r, &a)
		out.Instances = append(out.Instances, e)
	}
}

// verdict says whether an instance stands in a reply, and why.
func verdict(ctx context.Context, z *zone.Zone, name zone.Name, qtype uint16, i *catalog.Instance, r *dns.Msg, whole *zone.Reply) (bool, string) {
	if why := z.Dropped(name, i); why != "" {
		return false, why
	}
	records := z.Records(ctx, name, qtype, i)
	in := func(list []dns.RR) bool {
		return slices.ContainsFunc(records, func(rr dns.RR) bool {
			return slices.ContainsFunc(list, func(o dns.RR) bool { return dns.IsDuplicate(rr, o) })
		})
	}
	switch {
	case name.Instance != "" || qtype == dns.TypePTR:
		return len(r.Answer) > 0, "it is healthy"
	case len(records) == 0:
		return false, "it has no record of this type"
	case in(r.Answer):
		return true, "it is healthy"
	case records[0].Header().Rrtype == dns.TypeCNAME && !in(whole.Answer):
		return false, "a host name is given only where no instance has an IP address"
	case whole.Limited:
		return false, fmt.Sprintf("the service's definition allows %d answers; others were drawn", len(r.Answer))
	case r.Truncated || in(whole.Answer) && len(whole.Answer) > len(r.Answer):
		return false, fmt.Sprintf("the message has room for %d answers; others were drawn", len(r.Answer))
	}
	return false, fmt.Sprintf("a_record_limit allows %d answers; others were drawn", len(r.Answer))
}

// witness is a source that notes what it is asked.
type witness struct {
	zone.Source
	own     string // datacenter
	views   []ExplainedView
	service *view.Service // the first that was asked for
	asked   bool
}

func (w *witness) note(kind, dc, name string, st view.State, err error) {
	v := ExplainedView{Kind: kind, Datacenter: dc, Name: name, Index: st.Index, Stale: st.Stale, AgeMillis: st.Age.Milliseconds()}
	if dc == "" {
		v.Datacenter = w.own
	}
	switch {
	case err != nil:
		v.Error = err.Error()
	case st.Session == 0:
		v.Source = "memory alone: nobody keeps it up to date now"
	default:
		v.Source = fmt.Sprintf("changes are pushed (session %d)", st.Session)
	}
	w.views = append(w.views, v)
}

// Service implements zone.Source.
func (w *witness) Service(ctx context.Context, dc, name string) (*view.Service, view.State, error) {
	v, st, err := w.Source.Service(ctx, dc, name)
	w.note("service", dc, name, st, err)
	if !w.asked {
		w.service, w.asked = v, true
	}
	return v, st, err
}

// Node implements zone.Source.
func (w *witness) Node(ctx context.Context, dc, name string) (*view.Node, view.State, error) {
	v, st, err := w.Source.Node(ctx, dc, name)
	w.note("node", dc, name, st, err)
	return v, st, err
}

// Address implements zone.Source.
func (w *witness) Address(ctx context.Context, dc string, a netip.Addr) (*view.Address, view.State, error) {
	v, st, err := w.Source.Address(ctx, dc, a)
	w.note("address", dc, a.String(), st, err)
	return v, st, err
}
