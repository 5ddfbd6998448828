package state

import (
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/kv"
)

const (
	tableSessions   = "sessions"
	byNode          = "node"
	keySessions     = "sessions"       // any session
	keyNodeSessions = "node-sessions/" // a node's sessions
)

func sessionTable() table {
	return table{
		record: func() any { return new(kv.Session) },
		schema: &memdb.TableSchema{Name: tableSessions, Indexes: indexSchemas(
			by(primary, true, func(s *kv.Session) (string, bool) { return sessionKey(s.ID), true }),
			by(byNode, false, func(s *kv.Session) (string, bool) { return nodeKey(s.Node), true }),
		)},
	}
}

func sessionKey(id string) string { return joined(strings.ToLower(id)) }

// Sessions reads sessions.
type Sessions struct{ s *State }

// Sessions gives the sessions.
func (s *State) Sessions() Sessions { return Sessions{s} }

// Get returns the session of an ID, nil if there is none.
func (r Sessions) Get(ws memdb.WatchSet, id string) (uint64, *kv.Session) {
	tx := r.s.read(ws)
	s, ok := watched[*kv.Session](tx, ws, tableSessions, primary, sessionKey(id))
	if ok {
		return max(s.ModifyIndex, 1), s
	}
	return indexAt(tx, ws, keySessions, nil), nil
}

// List returns all sessions by ID.
func (r Sessions) List(ws memdb.WatchSet) (uint64, []*kv.Session) {
	tx := r.s.read(ws)
	return indexAt(tx, ws, keySessions, nil), slices.Collect(under[*kv.Session](tx, tableSessions, primary, ""))
}

// OfNode returns a node's sessions by ID.
func (r Sessions) OfNode(ws memdb.WatchSet, node string) (uint64, []*kv.Session) {
	tx := r.s.read(ws)
	return indexAt(tx, ws, keyNodeSessions+catalog.Fold(node), nil), slices.Collect(every[*kv.Session](tx, tableSessions, byNode, nodeKey(node)))
}

// SessionWriter changes sessions in a transaction.
type SessionWriter struct{ *Txn }

// Create puts a session in, if its node and checks are there and well.
func (t SessionWriter) Create(in *kv.Session) error {
	s := *in
	if err := s.Validate(kv.LeastTTL); err != nil {
		return err
	}
	if s.ID == "" {
		return fault.Newf(fault.Invalid, "Must provide ID")
	}
	if _, ok := get[*kv.Session](t, tableSessions, sessionKey(s.ID)); ok {
		return fault.Newf(fault.Conflict, "session %q exists", s.ID)
	}
	node, ok := get[*catalog.Node](t, tableNodes, nodeKey(s.Node))
	if !ok {
		return fault.Newf(fault.Invalid, "apply failed: Missing node registration")
	}
	s.Node = node.Name
	for _, id := range s.Checks() {
		c, ok := get[*catalog.Check](t, tableChecks, checkKey(node.Name, id))
		if !ok {
			return fault.Newf(fault.Invalid, "apply failed: Missing check '%s' registration", id)
		}
		if c.Status == catalog.Critical {
			return fault.Newf(fault.Invalid, "apply failed: Check '%s' is in critical state", id)
		}
	}
	s.CreateIndex, s.ModifyIndex = t.index, t.index
	t.put(tableSessions, sessionKey(s.ID), &s)
	t.raise(keySessions)
	t.raise(keyNodeSessions + catalog.Fold(s.Node))
	return nil
}

// Destroy ends a session and frees what it held. One that is not there is no error.
func (t SessionWriter) Destroy(id string) {
	if s, ok := get[*kv.Session](t, tableSessions, sessionKey(id)); ok {
		t.destroy(s)
	}
}

func (t SessionWriter) destroy(s *kv.Session) {
	t.remove(tableSessions, sessionKey(s.ID), s)
	t.raise(keySessions)
	if key := keyNodeSessions + catalog.Fold(s.Node); t.none(s.Node) {
		t.tombstone(key)
	} else {
		t.raise(key)
	}
	KeyWriter(t).free(s)
	QueryWriter(t).DeleteOfSession(s.ID)
}

// of are the sessions of a node.
func (t SessionWriter) of(node string) []*kv.Session {
	return slices.Collect(every[*kv.Session](t.reader(tableSessions), tableSessions, byNode, nodeKey(node)))
}

func (t SessionWriter) none(node string) bool {
	_, ok := first[*kv.Session](t.reader(tableSessions), tableSessions, byNode, nodeKey(node))
	return !ok
}

// nodeGone ends all sessions of a node.
func (t SessionWriter) nodeGone(node string) {
	for _, s := range t.of(node) {
		t.destroy(s)
	}
}

// checkLost ends the sessions that hang on a check that turned critical or went.
func (t SessionWriter) checkLost(c *catalog.Check) {
	for _, s := range t.of(c.Node) {
		if s.HangsOn(c.CheckID, catalog.EqualFold) {
			t.destroy(s)
		}
	}
}
