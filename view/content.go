package view

import (
	"slices"

	"consul.internal/catalog"
)

// changes returns what makes the service out of nothing.
func (s *Service) changes() []catalog.Change {
	if s == nil {
		return nil
	}
	out := make([]catalog.Change, len(s.Instances), len(s.Instances)+1)
	for i, inst := range s.Instances {
		out[i] = catalog.Change{Op: catalog.InstanceSet, Instance: inst}
	}
	if s.Rules != nil {
		out = append(out, s.Rules.change(s.Name))
	}
	return out
}

// changes returns what makes the address out of nothing.
func (a *Address) changes() []catalog.Change {
	if a == nil {
		return nil
	}
	out := make([]catalog.Change, 0, len(a.Nodes)+len(a.Services))
	for _, n := range a.Nodes {
		out = append(out, catalog.Change{Op: catalog.NodeSet, Node: n})
	}
	for _, i := range a.Services {
		out = append(out, catalog.Change{Op: catalog.InstanceSet, Instance: i})
	}
	return out
}

// goneInstance says that a member of a list no longer exists.
func goneInstance(i *catalog.Instance) catalog.Change {
	return catalog.Change{Op: catalog.InstanceGone, Instance: &catalog.Instance{
		Node:    &catalog.Node{Name: i.Node.Name},
		Service: &catalog.Service{ID: i.Service.ID, Name: i.Service.Name},
	}}
}

// difference returns what makes now out of old. Instances that both share are
// told by their pointers.
func difference(old, now *Service) []catalog.Change {
	var out []catalog.Change
	if old.Rules != now.Rules {
		out = append(out, now.Rules.change(now.Name))
	}
	a, b := old.Instances, now.Instances
	for len(a) > 0 && len(b) > 0 {
		if a[0] == b[0] {
			a, b = a[1:], b[1:]
			continue
		}
		switch c := instanceKey(a[0]).compare(instanceKey(b[0])); {
		case c < 0:
			out = append(out, goneInstance(a[0]))
			a = a[1:]
		case c > 0:
			out = append(out, catalog.Change{Op: catalog.InstanceSet, Instance: b[0]})
			b = b[1:]
		default:
			out = append(out, catalog.Change{Op: catalog.InstanceSet, Instance: b[0]})
			a, b = a[1:], b[1:]
		}
	}
	for _, i := range a {
		out = append(out, goneInstance(i))
	}
	for _, i := range b {
		out = append(out, catalog.Change{Op: catalog.InstanceSet, Instance: i})
	}
	return out
}

// pick returns what became of the instances of some keys.
func pick(now *Service, keys map[key]struct{}) []catalog.Change {
	out := make([]catalog.Change, 0, len(keys))
	for k := range keys {
		if k == (key{}) {
			out = append(out, now.Rules.change(now.Name))
			continue
		}
		at, found := slices.BinarySearchFunc(now.Instances, k, func(i *catalog.Instance, k key) int { return instanceKey(i).compare(k) })
		if found {
			out = append(out, catalog.Change{Op: catalog.InstanceSet, Instance: now.Instances[at]})
			continue
		}
		out = append(out, goneInstance(&catalog.Instance{
			Node: &catalog.Node{Name: k.node}, Service: &catalog.Service{ID: k.id, Name: now.Name},
		}))
	}
	return out
}

// Sizes of the parts of a large event. A message of the transport must hold one:
// 256 instances of 4 KB, or 64 K hashes of 9 bytes, are well below 4 MB.
const (
	partChanges = 256
	partHashes  = 64 << 10
)

// split cuts an event into parts. Only the last has the token.
func split(e Event) []Event {
	if len(e.Changes) <= partChanges && len(e.Added) <= partHashes && len(e.Removed) <= partHashes {
		return []Event{e}
	}
	var out []Event
	rest := e
	for {
		p := Event{Subject: e.Subject, Seq: e.Seq, LeaderAge: e.LeaderAge, Reset: rest.Reset}
		p.Changes, rest.Changes = cut(rest.Changes, partChanges)
		p.Added, rest.Added = cut(rest.Added, partHashes)
		p.Removed, rest.Removed = cut(rest.Removed, partHashes)
		rest.Reset = false
		out = append(out, p)
		if len(rest.Changes)+len(rest.Added)+len(rest.Removed) == 0 {
			out[len(out)-1].Token = e.Token
			return out
		}
	}
}

func cut[T any](s []T, n int) (head, rest []T) {
	if len(s) <= n {
		return s, nil
	}
	return s[:n:n], s[n:]
}

// weigh is about how much memory a change's content takes.
func weigh(c catalog.Change) int {
	const change = 32 // the change itself, or its place in a list
	n := change
	if c.Node != nil {
		n += weighNode(c.Node)
	}
	if i := c.Instance; i != nil {
		n += weighNode(i.Node) + weighService(i.Service)
		for _, check := range i.Checks {
			n += weighCheck(check)
		}
	}
	if c.Resolver != nil {
		n += weighResolver(c.Resolver)
	}
	return n
}

// Sizes of the nouns themselves, and of an entry of a map, rounded up.
const (
	sizeNode    = 160
	sizeService = 448
	sizeCheck   = 576
	sizeEntry   = 64
)

func weighNode(n *catalog.Node) int {
	return sizeNode + len(n.ID) + len(n.Name) + len(n.Address) + len(n.Datacenter) +
		weighMap(n.TaggedAddresses) + weighMap(n.Meta)
}

func weighService(s *catalog.Service) int {
	n := sizeService + len(s.Kind) + len(s.ID) + len(s.Name) + len(s.Address) + len(s.SocketPath) + weighMap(s.Meta)
	for _, t := range s.Tags {
		n += 16 + len(t)
	}
	for k, a := range s.TaggedAddresses {
		n += sizeEntry + len(k) + len(a.Address)
	}
	return n + weighAny(s.Proxy.Config) + weighAny(s.Proxy.Upstreams) + weighAny(map[string]any(s.Proxy.MeshGateway)) + weighAny(map[string]any(s.Proxy.Expose))
}

func weighCheck(c *catalog.Check) int {
	n := sizeCheck + len(c.Node) + len(c.CheckID) + len(c.Name) + len(c.Notes) + len(c.Output) + len(c.ServiceID) +
		len(c.ServiceName) + len(c.Definition.HTTP) + len(c.Definition.Body)
	for k, vs := range c.Definition.Header {
		n += sizeEntry + len(k)
		for _, v := range vs {
			n += len(v)
		}
	}
	return n
}

func weighMap(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += sizeEntry + len(k) + len(v)
	}
	return n
}

func weighAny(v any) int {
	n := 16
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			n += sizeEntry + len(k) + weighAny(e)
		}
	case []any:
		for _, e := range v {
			n += weighAny(e)
		}
	case string:
		n += len(v)
	case []byte:
		n += len(v)
	}
	return n
}
