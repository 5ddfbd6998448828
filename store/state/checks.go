package state

import (
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

const (
	tableChecks = "checks"
	byTarget    = "target" // node and service ID; no service ID = the node's own checks
	byStatus    = "status"
	byService   = "service"
)

func checkTable() table {
	return table{
		record: func() any { return new(catalog.Check) },
		schema: &memdb.TableSchema{Name: tableChecks, Indexes: indexSchemas(
			by(primary, true, func(c *catalog.Check) (string, bool) { return checkKey(c.Node, c.CheckID), true }),
			by(byTarget, false, func(c *catalog.Check) (string, bool) { return serviceKey(c.Node, c.ServiceID), true }),
			by(byStatus, false, func(c *catalog.Check) (string, bool) { return joined(string(c.Status)), true }),
			by(byService, false, func(c *catalog.Check) (string, bool) { return nameKey(c.ServiceName), c.ServiceID != "" }),
		)},
	}
}

func checkKey(node, id string) string { return joined(catalog.Fold(node), catalog.Fold(id)) }

// NodeChecks returns all checks of a node, its services' included, by check ID.
func (s *State) NodeChecks(ws memdb.WatchSet, node string) (uint64, []*catalog.Check) {
	tx := s.read(ws)
	if n, ok := findNode(tx, node); ok {
		node = n.Name
	}
	checks := slices.AppendSeq([]*catalog.Check{}, under[*catalog.Check](tx, tableChecks, primary, nodeKey(node)))
	// A node without any check has no row; the row of its first check is watched through the table.
	absent := func() {
		ch, _, err := tx.FirstWatch(tableChecks, primary+"_prefix", nodeKey(node))
		must(err)
		ws.Add(ch)
		watched[*catalog.Node](tx, ws, tableNodes, byUUID, uuidKey(node))
	}
	return indexAt(tx, ws, keyNodeChecks+catalog.Fold(node), absent), checks
}

// ServiceChecks returns the checks of a service's instances, without their
// nodes' own, by node and check ID.
func (s *State) ServiceChecks(ws memdb.WatchSet, name string) (uint64, []*catalog.Check) {
	tx := s.read(ws)
	checks := slices.AppendSeq([]*catalog.Check{}, every[*catalog.Check](tx, tableChecks, byService, nameKey(name)))
	absent := func() { watched[*catalog.Check](tx, ws, tableChecks, byService, nameKey(name)) }
	return indexAt(tx, ws, keyOwnChecks+catalog.Fold(name), absent), checks
}

// ChecksInState returns all checks in a state (catalog.Any = all), by node and check ID.
func (s *State) ChecksInState(ws memdb.WatchSet, status catalog.Status) (uint64, []*catalog.Check) {
	tx := s.read(ws)
	if status == catalog.Any {
		return indexAt(tx, ws, keyChecks, nil), slices.AppendSeq([]*catalog.Check{}, under[*catalog.Check](tx, tableChecks, primary, ""))
	}
	checks := slices.AppendSeq([]*catalog.Check{}, every[*catalog.Check](tx, tableChecks, byStatus, joined(string(status))))
	return indexAt(tx, ws, keyState+string(status), nil), checks
}

// ensureCheck puts a check on a node, or leaves it when it is the same already.
func (t *Txn) ensureCheck(node *catalog.Node, in *catalog.Check) error {
	c := *in
	c.Node = node.Name
	if c.CheckID == "" {
		c.CheckID = c.Name
	}
	if c.Status == "" {
		c.Status = catalog.Critical
	}
	c.ServiceName, c.ServiceTags = "", []string{} // clients know no absent list
	if c.ServiceID != "" {
		row, ok := get[*serviceRow](t, tableServices, serviceKey(node.Name, c.ServiceID))
		if !ok {
			return fault.Newf(fault.Invalid, "Unknown service ID '%s' for check ID '%s'", c.ServiceID, c.CheckID)
		}
		c.ServiceName, c.ServiceTags = row.Service.Name, row.Service.Tags
		if c.ServiceID == row.Service.ID {
			c.ServiceID = row.Service.ID // the same bytes, kept once
		}
	}
	old, exists := get[*catalog.Check](t, tableChecks, checkKey(node.Name, c.CheckID))
	if !exists {
		t.putCheck(&c, nil)
	} else if !old.SameContent(&c) {
		t.putCheck(&c, old)
	}
	return nil
}

// putCheck writes a check that differs from old (nil = there was none).
func (t *Txn) putCheck(c, old *catalog.Check) {
	c.CreateIndex, c.ModifyIndex = t.index, t.index
	if old != nil {
		c.CreateIndex = old.CreateIndex
		t.raise(keyState + string(old.Status))
		if old.ServiceID != c.ServiceID || old.ServiceName != c.ServiceName {
			t.touchChecked(old)
		}
	}
	share(c)
	t.put(tableChecks, checkKey(c.Node, c.CheckID), c)
	t.raise(keyState + string(c.Status))
	t.touchChecked(c)
	if c.Status == catalog.Critical {
		SessionWriter{t}.checkLost(c)
	}
}

// touchChecked touches the instances on which a check bears, and the queries for it.
func (t *Txn) touchChecked(c *catalog.Check) {
	t.raise(keyChecks)
	t.raise(keyNodeChecks + catalog.Fold(c.Node))
	if c.ServiceID != "" {
		t.raise(keyOwnChecks + catalog.Fold(c.ServiceName))
		if row, ok := get[*serviceRow](t, tableServices, serviceKey(c.Node, c.ServiceID)); ok {
			t.touch(row, false)
		}
		return
	}
	for row := range under[*serviceRow](t.reader(tableServices), tableServices, primary, nodeKey(c.Node)) {
		t.touch(row, false)
	}
}

// DeleteCheck takes a check off a node. One that does not exist is no error.
func (t *Txn) DeleteCheck(node, id string) {
	if c, ok := get[*catalog.Check](t, tableChecks, checkKey(node, id)); ok {
		t.deleteCheck(c)
	}
}

func (t *Txn) deleteCheck(c *catalog.Check) {
	t.remove(tableChecks, checkKey(c.Node, c.CheckID), c)
	t.raise(keyState + string(c.Status))
	t.touchChecked(c)
	SessionWriter{t}.checkLost(c)
}

// hasNUL reports whether a name holds the byte that ends names in index values.
func hasNUL(names ...string) bool {
	return slices.ContainsFunc(names, func(s string) bool { return strings.IndexByte(s, 0) >= 0 })
}
