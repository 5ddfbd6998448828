package state

import "github.com/hashicorp/go-memdb"

// Cluster is what the servers of a datacenter agree on about themselves.
type Cluster struct {
	ID string // minted once, at the first start
	// Epoch grows when a user restores a snapshot: indexes of another epoch do not compare.
	Epoch uint64
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
func (s *State) Cluster() Cluster {
	if c, ok := first[*Cluster](s.read(nil), tableCluster, primary, "the"); ok {
		return *c
	}
	return Cluster{}
}

// FoundCluster records the cluster's ID unless there is one, and returns the one that holds.
func (t *Txn) FoundCluster(id string) string {
	if c, ok := first[*Cluster](t.tx, tableCluster, primary, "the"); ok {
		return c.ID
	}
	must(t.tx.Insert(tableCluster, &Cluster{ID: id}))
	return id
}
