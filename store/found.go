package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/raft"

	"consul.internal/store/disklog"
)

// clusterFile remembers the cluster's ID from the moment it is minted, before
// there is a log that could hold it. Once the state knows the ID, that one holds.
type clusterFile struct{ ID string }

const clusterMagic = "consul-cluster 1"

// readClusterFile returns the ID in the file, "" when there is no file.
func readClusterFile(path string) (string, error) {
	var c clusterFile
	err := disklog.ReadSealed(path, clusterMagic, &c)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err == nil && c.ID == "":
		return "", &disklog.Damage{Path: path, What: "it is empty"}
	}
	return c.ID, err
}

// founder founds a cluster, or finds out to which one this server belongs.
type founder struct {
	disk      *disk // nil in memory
	rc        *raft.Config
	logs      raft.LogStore
	stable    raft.StableStore
	snaps     raft.SnapshotStore
	transport raft.Transport
	// until is what must be applied again before who is fed hears of a state that
	// is given up while the server runs; 0 = it does not run yet.
	until uint64
}

// on is the founder over a disk's log.
func (f founder) on(d *disk) founder {
	f.logs, f.stable, f.snaps = d.log, d.log, d.snaps
	return f
}

// found returns the cluster's ID, "" where it is not known yet. Where mint allows
// it and nothing has been done (last, the end of the log, is 0) it mints the ID
// and bootstraps raft. It may be cut short anywhere and go on at the next start:
// the ID is kept from its first moment, and a term without an entry or a vote is
// the trace of a bootstrap that did not get further. inState is the ID that the
// state holds, if any.
func (f founder) found(inState string, mint bool, last uint64) (string, error) {
	id, err := f.settleID(inState, mint)
	if err != nil || !mint || last > 0 {
		return id, err
	}
	vote, err := f.stable.GetUint64([]byte("LastVoteTerm")) // raft's own key
	if err != nil {
		return "", fmt.Errorf("read the last vote: %w", err)
	}
	if vote > 0 {
		return "", &disklog.Damage{Path: f.disk.dir, What: fmt.Sprintf("this server has voted in term %d, but its log is empty", vote)}
	}
	if err := f.stable.SetUint64([]byte("CurrentTerm"), 0); err != nil {
		return "", err
	}
	err = raft.BootstrapCluster(f.rc, f.logs, f.stable, f.snaps, f.transport, raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: f.rc.LocalID, Address: f.transport.LocalAddr(),
	}}})
	if err != nil {
		return "", fmt.Errorf("found the cluster: %w", err)
	}
	return id, nil
}

// settleID brings the ID in the state and the one in the file together, or mints one.
func (f founder) settleID(id string, mint bool) (string, error) {
	if f.disk == nil {
		if id == "" && mint {
			return uuid.GenerateUUID()
		}
		return id, nil
	}
	path := filepath.Join(f.disk.dir, "cluster")
	kept, err := readClusterFile(path)
	switch {
	case err != nil && id == "":
		return "", err
	case id == "" && kept != "":
		return kept, nil
	case id == "" && !mint, id != "" && kept == id:
		return id, nil
	case err == nil && id != "" && kept != "":
		return "", &disklog.Damage{Path: path, What: fmt.Sprintf("it names cluster %s, but the log belongs to cluster %s", kept, id)}
	case id == "":
		if id, err = uuid.GenerateUUID(); err != nil {
			return "", err
		}
	}
	return id, disklog.WriteSealed(path, clusterMagic, clusterFile{ID: id}) // new, or lost or damaged while the state knows it
}
