package state

import (
	"math"
	"slices"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

const tableCoordinates = "coordinates"

// coordinateRow is a node's place. It carries its own index, so that a query for
// one node sleeps while the others move.
type coordinateRow struct {
	catalog.NodeCoordinate
	ModifyIndex uint64
}

func coordinateTable() table {
	return table{
		record: func() any { return new(coordinateRow) },
		schema: &memdb.TableSchema{Name: tableCoordinates, Indexes: indexSchemas(
			by(primary, true, func(r *coordinateRow) (string, bool) { return coordinateKey(r.Node, r.Segment), true }),
		)},
	}
}

// coordinateKey begins with nodeKey.
func coordinateKey(node, segment string) string { return nodeKey(node) + joined(segment) }

// Coordinates returns the places of all nodes, by node and segment.
func (s *State) Coordinates(ws memdb.WatchSet) (uint64, []*catalog.NodeCoordinate) {
	tx := s.read(ws)
	return indexAt(tx, ws, keyCoordinates, nil), places(tx, "")
}

// NodeCoordinates returns the places of one node, none if it is not known.
func (s *State) NodeCoordinates(ws memdb.WatchSet, node string) (uint64, []*catalog.NodeCoordinate) {
	tx := s.read(ws)
	it, err := tx.Get(tableCoordinates, primary+"_prefix", nodeKey(node))
	must(err)
	ws.Add(it.WatchCh())
	var index uint64
	var out []*catalog.NodeCoordinate
	drain(it, func(row *coordinateRow) bool {
		index = max(index, row.ModifyIndex)
		out = append(out, &row.NodeCoordinate)
		return true
	})
	if len(out) == 0 {
		// Places come after their node and go with it: its own row tells when.
		index = indexAt(tx, nil, keyNode+catalog.Fold(node), nil)
	}
	return index, out
}

func places(tx *memdb.Txn, prefix string) []*catalog.NodeCoordinate {
	var out []*catalog.NodeCoordinate
	for row := range under[*coordinateRow](tx, tableCoordinates, primary, prefix) {
		out = append(out, &row.NodeCoordinate)
	}
	return out
}

// Distances gives a function that tells how far nodes are from the given one, in
// seconds: 0 to itself, +Inf if that is not known. It is nil if nothing is known
// of the given one.
func (s *State) Distances(from string) func(node string) float64 {
	tx := s.read(nil)
	here := places(tx, nodeKey(from))
	if len(here) == 0 {
		return nil
	}
	return func(node string) float64 {
		if catalog.EqualFold(node, from) {
			return 0
		}
		for _, there := range places(tx, nodeKey(node)) {
			if i := slices.IndexFunc(here, func(h *catalog.NodeCoordinate) bool { return h.Segment == there.Segment }); i >= 0 {
				return here[i].Coord.Distance(there.Coord)
			}
		}
		return math.Inf(1)
	}
}

// Coordinates is the part of a transaction that places nodes.
type Coordinates struct{ *Txn }

// Update places nodes. Those that the catalog does not have are left out: an agent
// may go on sending for a while after its node was removed.
func (c Coordinates) Update(updates []catalog.NodeCoordinate) {
	for _, u := range updates {
		n, ok := get[*catalog.Node](c, tableNodes, nodeKey(u.Node))
		if !ok || u.Coord.Validate() != nil || hasNUL(u.Segment) {
			continue
		}
		u.Node = n.Name
		key := coordinateKey(u.Node, u.Segment)
		if old, ok := get[*coordinateRow](c, tableCoordinates, key); ok && old.Node == u.Node && old.Coord.Same(u.Coord) {
			continue
		}
		c.put(tableCoordinates, key, &coordinateRow{NodeCoordinate: u, ModifyIndex: c.index})
		c.raise(keyCoordinates)
	}
}

// gone takes a node's places out.
func (c Coordinates) gone(node string) {
	for _, row := range slices.Collect(under[*coordinateRow](c.reader(tableCoordinates), tableCoordinates, primary, nodeKey(node))) {
		c.remove(tableCoordinates, coordinateKey(row.Node, row.Segment), row)
		c.raise(keyCoordinates)
	}
}
