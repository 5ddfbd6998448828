package state

import (
	"time"

	"github.com/hashicorp/go-memdb"
)

// Cluster is what the servers of a datacenter agree on about themselves.
type Cluster struct {
	ID string // minted once, at the first start
	// Epoch grows when a user restores a snapshot: indexes of another epoch do not compare.
	Epoch uint64
	// Expect is the fewest voters that may be left, 0 = not known.
	Expect int
	// Autopilot is nil until somebody sets it.
	Autopilot *Autopilot
}

// Autopilot is what autopilot goes by.
type Autopilot struct {
	CleanupDeadServers      bool
	LastContactThreshold    time.Duration
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime time.Duration
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string

	CreateIndex uint64
	ModifyIndex uint64
}

const tableCluster = "cluster"

func clusterTable() table {
	return table{
		record: func() any { return new(Cluster) },
		schema: &memdb.TableSchema{Name: tableCluster, Indexes: indexSchemas(
			by(primary, true, func(*Cluster) (string, bool) { return "the", true }), // a single record
		)},
	}
}

// Cluster returns the cluster's record; its ID is "" before one was agreed on.
func (s *State) Cluster() Cluster { return cluster(s.read(nil)) }

func cluster(tx *memdb.Txn) Cluster {
	if c, ok := first[*Cluster](tx, tableCluster, primary, "the"); ok {
		return *c
	}
	return Cluster{}
}

// FoundCluster records the cluster's ID unless there is one, and the number of
// servers expected unless it is known. It returns the ID that holds.
func (t *Txn) FoundCluster(id string, expect int) string {
	c := t.cluster()
	if c.ID == "" {
		c.ID = id
	}
	if c.Expect == 0 {
		c.Expect = expect
	}
	t.putCluster(c)
	return c.ID
}

// ReplaceCluster puts a whole record in the place of the cluster's.
func (t *Txn) ReplaceCluster(c Cluster) { t.putCluster(c) }

func (t *Txn) cluster() Cluster {
	if c, ok := get[*Cluster](t, tableCluster, "the"); ok {
		return *c
	}
	return Cluster{}
}

func (t *Txn) putCluster(c Cluster) { t.put(tableCluster, "the", &c) }

// SetAutopilot replaces what autopilot goes by. With cas it does so only if the
// ModifyIndex is still that of the configuration given; it reports whether it did.
func (t *Txn) SetAutopilot(a Autopilot, cas bool) bool {
	c := t.cluster()
	old := c.Autopilot
	if old == nil {
		old = &Autopilot{CreateIndex: t.index}
	}
	if cas && a.ModifyIndex != old.ModifyIndex {
		return false
	}
	a.CreateIndex, a.ModifyIndex = old.CreateIndex, t.index
	c.Autopilot = &a
	t.putCluster(c)
	return true
}
