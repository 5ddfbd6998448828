package state

import (
	"slices"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

// Inventory reads what there is on nodes, across the tables.
type Inventory struct {
	tx *memdb.Txn
	ws memdb.WatchSet
}

// Inventory is how to read what there is on nodes as it is now. Lists are watched by ws.
func (s *State) Inventory(ws memdb.WatchSet) Inventory { return Inventory{s.read(ws), ws} }

// Nodes returns all nodes by name, each with its services and checks by ID, or one
// node, if it is named and there.
func (r Inventory) Nodes(node string) (uint64, []*catalog.Inventory) {
	index := max(indexAt(r.tx, r.ws, keyNodes, nil), indexAt(r.tx, r.ws, keyServices, nil), indexAt(r.tx, r.ws, keyChecks, nil))
	var nodes []*catalog.Node
	if node == "" {
		nodes = slices.Collect(under[*catalog.Node](r.tx, tableNodes, primary, ""))
	} else if n, ok := findNode(r.tx, node); ok {
		nodes = []*catalog.Node{n}
	}
	out := make([]*catalog.Inventory, 0, len(nodes))
	for _, n := range nodes {
		i := &catalog.Inventory{Node: n, Checks: slices.Collect(under[*catalog.Check](r.tx, tableChecks, primary, nodeKey(n.Name)))}
		for row := range under[*serviceRow](r.tx, tableServices, primary, nodeKey(n.Name)) {
			i.Services = append(i.Services, row.Service)
		}
		out = append(out, i)
	}
	return index, out
}

// Instances returns every instance of every service, without checks, by node and ID.
func (r Inventory) Instances() (uint64, []*catalog.Instance) {
	out := []*catalog.Instance{}
	for row := range under[*serviceRow](r.tx, tableServices, primary, "") {
		out = append(out, bare(r.tx, row))
	}
	return max(indexAt(r.tx, r.ws, keyServices, nil), indexAt(r.tx, r.ws, keyNodes, nil)), out
}

// Service is the service of a node that has an ID; the node may be named by its ID too.
func (r Inventory) Service(node, id string) (*catalog.Service, bool) {
	row, ok := first[*serviceRow](r.tx, tableServices, primary, serviceKey(r.nameOf(node), id))
	if !ok {
		return nil, false
	}
	return row.Service, true
}

// Check is the check of a node that has an ID; the node may be named by its ID too.
func (r Inventory) Check(node, id string) (*catalog.Check, bool) {
	return first[*catalog.Check](r.tx, tableChecks, primary, checkKey(r.nameOf(node), id))
}

// nameOf is the name of a node that may be called by its ID.
func (r Inventory) nameOf(node string) string {
	if n, ok := findNode(r.tx, node); ok {
		return n.Name
	}
	return node
}
