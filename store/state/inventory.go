package state

import (
	"slices"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

// Inventories returns all nodes by name, each with its services and checks by ID, or
// one node, if it is named and there.
func (s *State) Inventories(ws memdb.WatchSet, node string) (uint64, []*catalog.Inventory) {
	tx := s.read(ws)
	index := max(indexAt(tx, ws, keyNodes, nil), indexAt(tx, ws, keyServices, nil), indexAt(tx, ws, keyChecks, nil))
	var nodes []*catalog.Node
	if node == "" {
		nodes = slices.Collect(under[*catalog.Node](tx, tableNodes, primary, ""))
	} else if n, ok := findNode(tx, node); ok {
		nodes = []*catalog.Node{n}
	}
	out := make([]*catalog.Inventory, 0, len(nodes))
	for _, n := range nodes {
		i := &catalog.Inventory{Node: n, Checks: slices.Collect(under[*catalog.Check](tx, tableChecks, primary, nodeKey(n.Name)))}
		for row := range under[*serviceRow](tx, tableServices, primary, nodeKey(n.Name)) {
			i.Services = append(i.Services, row.Service)
		}
		out = append(out, i)
	}
	return index, out
}
