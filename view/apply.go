package view

import (
	"net/netip"

	"consul.internal/catalog"
)

// Apply brings the directory to the batch's index. A batch at or below the held
// index is ignored, unless it is a reset, which voids everything known before
// (a restored state may have a lower index). Each name that the batch touches is
// replaced once, so that a reader sees it before or after the batch and never in
// between; several names are replaced one after the other.
func (d *Directory) Apply(b catalog.Batch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !b.Reset && b.Index <= d.index.Load() {
		return
	}
	w := &work{
		d:        d,
		services: map[string]edits[catalog.Instance]{},
		rules:    map[string]*Rules{},
		nodes:    map[string]*catalog.Node{},
		addrs:    map[netip.Addr]*addrEdits{},
	}
	if b.Reset {
		w.clear()
	}
	for _, c := range b.Changes {
		w.change(c)
	}
	w.publish(b.Index)
	d.index.Store(b.Index)
	d.wake()
}

// work collects what a batch does, name by name, before any reader sees it.
type work struct {
	d        *Directory
	services map[string]edits[catalog.Instance]
	rules    map[string]*Rules        // nil: gone
	nodes    map[string]*catalog.Node // nil: gone
	addrs    map[netip.Addr]*addrEdits
}

type addrEdits struct {
	nodes    edits[catalog.Node]
	services edits[catalog.Instance]
}

// clear marks all that is known as going; what the batch then sets stays, and is
// never missing meanwhile.
func (w *work) clear() {
	for n := range w.d.nodes.values() {
		w.dropNode(catalog.Fold(n.Node.Name))
	}
	for node, byID := range w.d.instances {
		for id := range byID {
			w.dropInstance(node, id)
		}
	}
	for s := range w.d.services.values() {
		if s.Rules != nil {
			w.setRules(s.Rules.Service, nil)
		}
	}
}

func (w *work) setRules(service string, r *Rules) {
	name := catalog.Fold(service)
	w.service(name) // it is touched
	w.rules[name] = r
}

func (w *work) change(c catalog.Change) {
	switch c.Op {
	case catalog.NodeSet:
		if c.Node != nil {
			w.setNode(c.Node)
		}
	case catalog.NodeGone:
		if c.Node != nil {
			name := catalog.Fold(c.Node.Name)
			w.dropNode(name)
			for id := range w.d.instances[name] {
				w.dropInstance(name, id)
			}
		}
	case catalog.InstanceSet:
		if i := c.Instance; i != nil && i.Node != nil && i.Service != nil {
			w.setInstance(i)
		}
	case catalog.InstanceGone:
		if i := c.Instance; i != nil && i.Node != nil && i.Service != nil {
			w.dropInstance(catalog.Fold(i.Node.Name), catalog.Fold(i.Service.ID))
		}
	case catalog.ResolverSet:
		if r := c.Resolver; r != nil {
			w.setRules(r.Service, newRules(r))
		}
	case catalog.ResolverGone:
		if r := c.Resolver; r != nil {
			w.setRules(r.Service, nil)
		}
	}
}

func (w *work) setNode(n *catalog.Node) {
	name := catalog.Fold(n.Name)
	w.dropNode(name)
	w.nodes[name] = n
	if a, ok := parseAddr(n.Address); ok {
		w.addr(a).nodes[key{node: name}] = n
	}
}

func (w *work) dropNode(name string) {
	old, touched := w.nodes[name]
	if !touched {
		if held := w.d.nodes.load(name); held != nil {
			old = held.Node
		}
	}
	if old != nil {
		if a, ok := parseAddr(old.Address); ok {
			w.addr(a).nodes[key{node: name}] = nil
		}
	}
	w.nodes[name] = nil
}

func (w *work) setInstance(i *catalog.Instance) {
	node, id := catalog.Fold(i.Node.Name), catalog.Fold(i.Service.ID)
	w.dropInstance(node, id) // it may have had another name or address
	byID := w.d.instances[node]
	if byID == nil {
		byID = map[string]*catalog.Instance{}
		w.d.instances[node] = byID
	}
	byID[id] = i
	k := key{node, id}
	w.service(catalog.Fold(i.Service.Name))[k] = i
	if a, ok := parseAddr(i.Service.Address); ok {
		w.addr(a).services[k] = i
	}
}

func (w *work) dropInstance(node, id string) {
	byID := w.d.instances[node]
	old := byID[id]
	if old == nil {
		return
	}
	if delete(byID, id); len(byID) == 0 {
		delete(w.d.instances, node)
	}
	k := key{node, id}
	w.service(catalog.Fold(old.Service.Name))[k] = nil
	if a, ok := parseAddr(old.Service.Address); ok {
		w.addr(a).services[k] = nil
	}
}

func (w *work) service(name string) edits[catalog.Instance] {
	e := w.services[name]
	if e == nil {
		e = edits[catalog.Instance]{}
		w.services[name] = e
	}
	return e
}

func (w *work) addr(a netip.Addr) *addrEdits {
	e := w.addrs[a]
	if e == nil {
		e = &addrEdits{edits[catalog.Node]{}, edits[catalog.Instance]{}}
		w.addrs[a] = e
	}
	return e
}

func (w *work) publish(index uint64) {
	for name, e := range w.services {
		next := &Service{Index: index}
		if held := w.d.services.load(name); held != nil {
			next.Instances, next.Rules = held.Instances, held.Rules
		}
		if r, touched := w.rules[name]; touched {
			next.Rules = r
		}
		next.Instances = merge(next.Instances, e, instanceKey)
		if next.absent() {
			w.d.services.delete(name)
			w.d.known.remove(KindService, name)
		} else {
			next.named()
			w.d.known.add(KindService, name)
			w.d.services.store(name, next)
		}
		w.d.told.tell(KindService, name)
	}
	for name, n := range w.nodes {
		if n == nil {
			w.d.nodes.delete(name)
			w.d.known.remove(KindNode, name)
		} else {
			w.d.known.add(KindNode, name)
			w.d.nodes.store(name, &Node{Node: n, Index: index})
		}
		w.d.told.tell(KindNode, name)
	}
	for a, e := range w.addrs {
		next := &Address{}
		if held := w.d.addrs.load(a); held != nil {
			*next = *held
		}
		next.Nodes = merge(next.Nodes, e.nodes, nodeKey)
		next.Services = merge(next.Services, e.services, instanceKey)
		if len(next.Nodes) == 0 && len(next.Services) == 0 {
			w.d.addrs.delete(a)
		} else {
			w.d.addrs.store(a, next)
		}
		if len(w.d.told) > 0 { // else nobody needs the address as text
			w.d.told.tell(KindAddress, AddressSubject(a).Name)
		}
	}
}

func instanceKey(i *catalog.Instance) key {
	return key{catalog.Fold(i.Node.Name), catalog.Fold(i.Service.ID)}
}

func nodeKey(n *catalog.Node) key { return key{node: catalog.Fold(n.Name)} }

// parseAddr reads an address as it is kept for reverse lookups; host names have none.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}
