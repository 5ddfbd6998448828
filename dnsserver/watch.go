package dnsserver

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"consul.internal/dnsserver/observe"
	"consul.internal/internal/metrics"
)

// openObserver begins what a configuration says is to be shown of questions.
func openObserver(s *Server, cfg *Config) (*observe.Observer, error) {
	return observe.Open(cfg.Observe, observe.Deps{Logger: s.deps.Logger, Identity: s.deps.Identity, Version: s.deps.Version})
}

// show hands an exchange on that is over.
func show(o *observe.Observer, w observe.Wish, query, reply []byte, from asker, asked time.Time) {
	o.Take(w, &observe.Exchange{
		From: netip.AddrPortFrom(from.addr, from.port), Door: cmp.Or(from.door, observe.UDP), Asked: asked, Answered: time.Now(), Query: query, Reply: reply,
	})
}

// observed is the reply to a message, shown to who wants to see it.
func observed(s *Server, req, out []byte, from asker) []byte {
	o := s.live.Load().observer
	w := o.Wants()
	if !w.Any() {
		return s.respond(req, out, from)
	}
	asked := time.Now()
	resp := s.respond(req, out, from)
	show(o, w, req, resp, from, asked)
	return resp
}

// countName counts a reply of the full path, by its name.
func countName(s *Server, r *dns.Msg) {
	var name [maxQueryName]byte
	if n := len(packedName(r, &name)); n > 0 {
		q := r.Question[0].Qtype
		s.count.top.Add(append(name[:n], byte(q>>8), byte(q)), r.Rcode, 1, time.Now())
	}
}

// publishAges sets the gauges of how old is what answers are made of.
func publishAges(s *Server, r *metrics.Registry) {
	list := []string{""}
	if s.fast != nil {
		list = *s.fast.sources.Load()
	}
	for _, dc := range list {
		st, err := s.deps.Source.State(s.ctx, dc)
		if err != nil {
			continue // it has been nothing but asked for
		}
		r.Gauge(metrics.DNSDataAge, metrics.Label{Name: "datacenter", Value: cmp.Or(dc, s.live.Load().cfg.Datacenter)}).Set(st.Age.Seconds())
	}
}

// Top returns what is asked for most.
func (d Direct) Top(n int) observe.Summary { return d.s.count.top.Summary(n, time.Now()) }
