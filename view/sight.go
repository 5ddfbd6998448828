package view

import (
	"context"
	"slices"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// Sight is what somebody may see of a datacenter. The zero Sight sees all.
type Sight struct {
	// Service and Node tell of names, as the catalog spells them; nil: all may be
	// seen. Both are set, or none.
	Service, Node func(name string) bool
	// Rules stand for what decides: equal ones see the same.
	Rules string
}

// Judge tells what the bearer of a secret may see. An error of kind Denied is that
// he may see nothing at all, any other that nobody can tell now.
type Judge func(ctx context.Context, secret string) (Sight, error)

// full reports whether nothing is hidden.
func (g *Sight) full() bool { return g.Service == nil }

func (g *Sight) instance(i *catalog.Instance) bool {
	return g.Service(i.Service.Name) && g.Node(i.Node.Name)
}

// service is what may be seen of a service.
func (g *Sight) service(s *Service) *Service {
	if g.full() || s == nil {
		return s
	}
	out := *s
	if !slices.ContainsFunc(s.Instances, func(i *catalog.Instance) bool { return !g.instance(i) }) {
		if s.Rules == nil || g.Service(s.Name) {
			return s
		}
	} else {
		out.Instances = slices.DeleteFunc(slices.Clone(s.Instances), func(i *catalog.Instance) bool { return !g.instance(i) })
	}
	if !g.Service(s.Name) {
		out.Rules = nil
	}
	if len(out.Instances) == 0 && out.Rules == nil {
		return nil
	}
	return &out
}

// node is what may be seen of a node.
func (g *Sight) node(n *Node) *Node {
	if g.full() || n == nil || g.Node(n.Node.Name) {
		return n
	}
	return nil
}

// address is what may be seen of an address.
func (g *Sight) address(a *Address) *Address {
	if g.full() || a == nil {
		return a
	}
	out := &Address{
		Nodes:    slices.DeleteFunc(slices.Clone(a.Nodes), func(n *catalog.Node) bool { return !g.Node(n.Name) }),
		Services: slices.DeleteFunc(slices.Clone(a.Services), func(i *catalog.Instance) bool { return !g.instance(i) }),
	}
	if len(out.Nodes)+len(out.Services) == 0 {
		return nil
	}
	return out
}

// judge finds out what the bearer of a secret may see, and at which state of the
// rules that was. It may take its time: no lock is held.
func (f *Feed) judge(ctx context.Context, secret string) (Sight, error) {
	if f.deps.Judge == nil {
		return Sight{}, nil
	}
	return f.deps.Judge(ctx, secret)
}

// endOf is the end of a subject for an error of a Judge.
func endOf(err error) string {
	if fault.Of(err) == fault.Denied {
		return EndDenied
	}
	return EndUnavailable
}

// Rejudge finds out again what followers may see, after what decides has changed.
// Those who may see less lose it at once.
func (f *Feed) Rejudge(ctx context.Context) {
	if f.deps.Judge == nil {
		return
	}
	f.mu.Lock()
	f.judged++
	by := map[string][]*follow{}
	for s := range f.sessions {
		for _, fl := range s.follows {
			by[fl.secret] = append(by[fl.secret], fl)
		}
	}
	f.mu.Unlock()
	for secret, all := range by {
		sight, err := f.judge(ctx, secret)
		if err != nil && ctx.Err() != nil {
			return
		}
		f.revise(all, sight, err)
	}
}

// revise has those who follow in the name of one secret see what it may see now.
func (f *Feed) revise(all []*follow, sight Sight, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range all {
		s := fl.session
		switch {
		case fl.gone:
		case err != nil:
			s.deny(fl, endOf(err))
		case fl.sight.Rules != sight.Rules:
			fl.revised = fl.revised || fl.given
			fl.sight, fl.given, fl.from, fl.service = sight, false, Token{}, nil
			s.dirty(fl)
		}
	}
}

// deny ends a subject that was followed. There are as many ends as there were
// subjects at most.
func (s *feedSession) deny(fl *follow, why string) {
	s.drop(fl)
	s.ends = append(s.ends, Event{Subject: fl.subject, Seq: fl.seq, End: why})
	s.poke()
}

// rules is the state of the rules by which followers are judged.
func (f *Feed) rules() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.judged
}
