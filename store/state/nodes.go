package state

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

const (
	tableNodes = "nodes"
	byUUID     = "uuid"
	byAddress  = "address"
)

func nodeTable() table {
	return table{
		record: func() any { return new(catalog.Node) },
		schema: &memdb.TableSchema{Name: tableNodes, Indexes: indexSchemas(
			by(primary, true, func(n *catalog.Node) (string, bool) { return nodeKey(n.Name), true }),
			by(byUUID, true, func(n *catalog.Node) (string, bool) { return uuidKey(n.ID), n.ID != "" }),
			by(byAddress, false, func(n *catalog.Node) (string, bool) {
				a, err := netip.ParseAddr(n.Address)
				return addressKey(a), err == nil // a host name is no address
			}),
		)},
	}
}

func nodeKey(name string) string { return joined(catalog.Fold(name)) }
func uuidKey(id string) string   { return joined(strings.ToLower(id)) }

func addressKey(a netip.Addr) string { return joined(a.Unmap().String()) }

// Nodes returns all nodes by name.
func (s *State) Nodes(ws memdb.WatchSet) (uint64, []*catalog.Node) {
	tx := s.read(ws)
	return indexAt(tx, ws, keyNodes, nil), slices.Collect(under[*catalog.Node](tx, tableNodes, primary, ""))
}

// Node returns a node by its name or, failing that, by its whole ID.
func (s *State) Node(name string) (*catalog.Node, bool) { return findNode(s.read(nil), name) }

// NodeAt is the first node by name that has an address, nil for none.
func NodeAt(s *State, ws memdb.WatchSet, a netip.Addr) *catalog.Node {
	n, _ := watched[*catalog.Node](s.read(nil), ws, tableNodes, byAddress, addressKey(a))
	return n
}

func findNode(tx *memdb.Txn, name string) (*catalog.Node, bool) {
	if n, ok := first[*catalog.Node](tx, tableNodes, primary, nodeKey(name)); ok {
		return n, true
	}
	return first[*catalog.Node](tx, tableNodes, byUUID, uuidKey(name))
}

// NodeServices returns a node, nil if there is none, and its services by ID.
func (s *State) NodeServices(ws memdb.WatchSet, node string) (uint64, *catalog.Node, []*catalog.Service) {
	tx := s.read(ws)
	n, ok := findNode(tx, node)
	if ok {
		node = n.Name
	}
	index := indexAt(tx, ws, keyNode+catalog.Fold(node), func() { watchNode(tx, ws, node) })
	if !ok {
		return index, nil, nil
	}
	services := []*catalog.Service{}
	for row := range under[*serviceRow](tx, tableServices, primary, nodeKey(node)) {
		services = append(services, row.Service)
	}
	return index, n, services
}

// watchNode watches for a node that is not there, by name or ID.
func watchNode(tx *memdb.Txn, ws memdb.WatchSet, node string) {
	watched[*catalog.Node](tx, ws, tableNodes, primary, nodeKey(node))
	watched[*catalog.Node](tx, ws, tableNodes, byUUID, uuidKey(node))
}

// ensureNode puts a node in, or leaves it when it is the same already.
func (t *Txn) ensureNode(in *catalog.Node, skipUpdate bool) (*catalog.Node, error) {
	old, exists := get[*catalog.Node](t, tableNodes, nodeKey(in.Name))
	if exists && skipUpdate {
		return old, nil
	}
	n := *in
	n.CreateIndex, n.ModifyIndex = t.index, t.index
	switch {
	case n.ID == "" && exists:
		n.ID = old.ID // whoever registers without an ID does not take it away
	case n.ID != "" && !(exists && strings.EqualFold(old.ID, n.ID)):
		if exists && old.ID != "" && t.alive(old) {
			return nil, fault.Newf(fault.Conflict, "node name %q is held by the living node %s (%s)", old.Name, old.ID, old.Address)
		}
		if same, ok := first[*catalog.Node](t.reader(tableNodes), tableNodes, byUUID, uuidKey(n.ID)); ok && nodeKey(same.Name) != nodeKey(n.Name) {
			// The node has a new name: what was registered under the old one goes with it.
			t.deleteNode(same)
			n.CreateIndex = same.CreateIndex
		}
	}
	if exists {
		if old.SameContent(&n) {
			return old, nil
		}
		n.CreateIndex = old.CreateIndex
	}
	n.Datacenter = intern(n.Datacenter)
	t.put(tableNodes, nodeKey(n.Name), &n)
	t.nodes.add(nodeKey(n.Name))
	t.raise(keyNodes)
	t.raise(keyNode + catalog.Fold(n.Name))
	if exists {
		for row := range under[*serviceRow](t.reader(tableServices), tableServices, primary, nodeKey(n.Name)) {
			t.touch(row, true)
		}
	}
	return &n, nil
}

// alive says whether the cluster's own check of the node's liveness passes.
func (t *Txn) alive(n *catalog.Node) bool {
	row, ok := get[*catalog.Check](t, tableChecks, checkKey(n.Name, catalog.SerfHealth))
	return ok && row.Status == catalog.Passing
}

// DeleteNode takes a node out with all its services and checks. A node that
// does not exist is no error.
func (t *Txn) DeleteNode(name string) {
	if n, ok := get[*catalog.Node](t, tableNodes, nodeKey(name)); ok {
		t.deleteNode(n)
	}
}

func (t *Txn) deleteNode(n *catalog.Node) {
	for _, row := range slices.Collect(under[*serviceRow](t.reader(tableServices), tableServices, primary, nodeKey(n.Name))) {
		t.deleteService(row)
	}
	for _, row := range slices.Collect(under[*catalog.Check](t.reader(tableChecks), tableChecks, primary, nodeKey(n.Name))) {
		t.deleteCheck(row)
	}
	Coordinates{t}.gone(n.Name)
	SessionWriter{t}.nodeGone(n.Name)
	t.remove(tableNodes, nodeKey(n.Name), n)
	t.gone = append(t.gone, catalog.Change{Op: catalog.NodeGone, Node: n})
	t.raise(keyNodes)
	t.tombstone(keyNode + catalog.Fold(n.Name))
	if key := keyNodeChecks + catalog.Fold(n.Name); t.hasRow(key) {
		t.tombstone(key)
	}
}
