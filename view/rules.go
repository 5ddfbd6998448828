package view

import (
	"reflect"
	"slices"

	"consul.internal/catalog"
	"consul.internal/internal/filter"
)

// Rules are what a service's resolver says, ready for use. They are never changed.
type Rules struct {
	*catalog.Resolver
	filters map[string]*filter.Filter[*catalog.Instance] // by subset
}

// newRules prepares a resolver; nil stays nil.
func newRules(r *catalog.Resolver) *Rules {
	if r == nil {
		return nil
	}
	out := &Rules{r, map[string]*filter.Filter[*catalog.Instance]{}}
	for name, s := range r.Subsets {
		if s.Filter == "" {
			continue
		}
		if f, err := filter.New[*catalog.Instance](s.Filter); err == nil {
			out.filters[name] = f // without one, nothing is in the subset
		}
	}
	return out
}

// In reports whether an instance is in a subset, whatever its health. Nothing is
// in one that there is not, but for the empty name: that is all.
func (r *Rules) In(subset string, i *catalog.Instance) bool {
	if subset == "" {
		return true
	}
	if r == nil {
		return false
	}
	s, there := r.Subsets[subset]
	if !there || s.Filter == "" {
		return there
	}
	f := r.filters[subset]
	if f == nil {
		return false
	}
	in, err := f.Match(i)
	return err == nil && in
}

// OnlyPassing reports whether a subset has no instances with warnings.
func (r *Rules) OnlyPassing(subset string) bool { return r != nil && r.Subsets[subset].OnlyPassing }

// Default is the subset that a service's name stands for.
func (r *Rules) Default() string {
	if r == nil {
		return ""
	}
	return r.DefaultSubset
}

// same reports whether two rules say the same.
func (r *Rules) same(o *Rules) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r == o || reflect.DeepEqual(r.Resolver, o.Resolver)
}

// change is what makes a service's rules out of none, or nothing of them.
func (r *Rules) change(service string) catalog.Change {
	if r == nil {
		return catalog.Change{Op: catalog.ResolverGone, Resolver: &catalog.Resolver{Service: service}}
	}
	return catalog.Change{Op: catalog.ResolverSet, Resolver: r.Resolver}
}

func weighResolver(r *catalog.Resolver) int {
	n := sizeNode + len(r.Service) + len(r.DefaultSubset)
	target := func(t catalog.Target) int { return sizeEntry + len(t.Service) + len(t.Subset) + len(t.Datacenter) }
	if r.Redirect != nil {
		n += target(*r.Redirect)
	}
	for subset, targets := range r.Failover {
		n += sizeEntry + len(subset)
		for _, t := range targets {
			n += target(t)
		}
	}
	for name, s := range r.Subsets {
		const compiled = 512 // the expression, ready for use
		n += sizeEntry + compiled + len(name) + len(s.Filter)
	}
	return n
}

// absent reports whether there is nothing of a service.
func (s *Service) absent() bool { return len(s.Instances) == 0 && s.Rules == nil }

// named gives a service its name.
func (s *Service) named() {
	if len(s.Instances) > 0 {
		s.Name = s.Instances[0].Service.Name
		return
	}
	s.Name = s.Rules.Service
}

// next returns what a service becomes by an event: the same pointer if nothing of
// it changed, nil if nothing is left. There may have been none.
func (s *Service) next(e *Event) *Service {
	old := s
	if old == nil {
		old = &Service{}
	}
	now := &Service{Index: e.Token.Index, Rules: old.Rules}
	now.Instances = nextList(old.Instances, e, func(c catalog.Change) *catalog.Instance { return c.Instance }, instanceKey)
	if e.Reset {
		now.Rules = nil
	}
	for _, c := range e.Changes {
		switch c.Op {
		case catalog.ResolverSet:
			now.Rules = newRules(c.Resolver)
		case catalog.ResolverGone:
			now.Rules = nil
		}
	}
	if now.Rules.same(old.Rules) {
		now.Rules = old.Rules
	}
	switch {
	case now.absent():
		return nil
	case slices.Equal(old.Instances, now.Instances) && now.Rules == old.Rules:
		return s
	}
	now.named()
	return now
}
