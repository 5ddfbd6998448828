package store

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/internal/durable"
	"consul.internal/store/disklog"
)

const (
	peersFile = "peers.json"
	peersInfo = "peers.info"
)

// peersText stands in peers.info, for whoever looks for a way out of an outage.
const peersText = `How to recover servers that have lost their quorum for good

As long as a majority of the servers can be started again, start them; nothing
else is needed, also when their addresses are new.

If a majority is lost for ever: stop all remaining servers, write the file
peers.json beside this one on each of them, with the same content, and start
them. It lists the servers that remain, one object each:

[
  {"id": "<node ID of the server>", "address": "<IP>:<server port>", "non_voter": false}
]

A server's node ID stands in the file node-id in its data directory. The servers
then take this list for their members, whatever they knew before. The file is
deleted when it has been used. Writes that only lost servers knew are lost, and
some that were not acknowledged may appear.
`

// recoverPeers replaces the members of the cluster by those that a person has
// written into peers.json, and removes that file.
func (d *disk) recoverPeers(f founder, known replayed) (replayed, error) {
	if err := writeOnce(filepath.Join(d.dir, peersInfo), []byte(peersText)); err != nil {
		return known, err
	}
	path := filepath.Join(d.dir, peersFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return known, err
	}
	config, err := parsePeers(raw, known.config, raft.Server{ID: d.nodeID, Address: f.transport.LocalAddr()})
	if err != nil {
		return known, fmt.Errorf("%s: %w", path, err)
	}
	if known.last == 0 {
		return known, fmt.Errorf("%s: this server has no data that could be recovered; remove the file, and the server joins the others", path)
	}
	d.logger.Warn("found peers.json, recovering the raft configuration from it", zap.String("file", path), zap.Any("servers", config.Servers))
	if err := raft.RecoverCluster(f.rc, d.fsm, f.logs, f.stable, f.snaps, f.transport, config); err != nil {
		return known, fmt.Errorf("recover by %s: %w", path, err)
	}
	if d.fsm.Stopped() != nil {
		return known, d.fsm.Stopped()
	}
	if err := durable.Remove(path); err != nil {
		return known, err
	}
	d.logger.Info("recovered the raft configuration; peers.json is removed")
	known.config, known.settled = config, settled{} // raft reads its new snapshot
	return known, nil
}

// writeOnce writes a file unless it holds that already.
func writeOnce(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	return durable.WriteFile(path, content)
}

// peer is a server in peers.json.
type peer struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	NonVoter bool   `json:"non_voter"`
}

// parsePeers reads peers.json: objects, or, as of old, only addresses, whose IDs
// are then those of the members known so far.
func parsePeers(raw []byte, known raft.Configuration, self raft.Server) (raft.Configuration, error) {
	var c raft.Configuration
	var addresses []string
	var peers []peer
	if err := json.Unmarshal(raw, &addresses); err == nil {
		for _, a := range addresses {
			id := ""
			for _, sv := range append([]raft.Server{self}, known.Servers...) {
				if string(sv.Address) == a {
					id = string(sv.ID)
					break
				}
			}
			if id == "" {
				return c, fmt.Errorf(`no server with address %s is known here: write {"id": ..., "address": %q} in its place`, a, a)
			}
			peers = append(peers, peer{ID: id, Address: a})
		}
	} else {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&peers); err != nil {
			return c, fmt.Errorf("it is no list of servers: %w", err)
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return c, errors.New("something follows the list")
		}
	}
	ids, addrs, voters := map[string]bool{}, map[string]bool{}, 0
	for i, p := range peers {
		switch {
		case p.ID == "" || p.Address == "":
			return c, fmt.Errorf("server %d has no id or no address", i+1)
		case ids[p.ID] || addrs[p.Address]:
			return c, fmt.Errorf("server %s at %s: its id or address stands there twice", p.ID, p.Address)
		}
		ids[p.ID], addrs[p.Address] = true, true
		sv := raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Address)}
		if p.NonVoter {
			sv.Suffrage = raft.Nonvoter
		} else {
			voters++
		}
		c.Servers = append(c.Servers, sv)
	}
	if voters == 0 {
		return c, errors.New("it names no server with a vote")
	}
	if !ids[string(self.ID)] {
		return c, fmt.Errorf("this server, %s, is not in it", self.ID)
	}
	return c, nil
}

// memory is what a server remembers of its cluster beside the log, for the day on
// which the log is damaged.
type memory struct {
	ClusterID string
	Servers   []raft.Server
}

const (
	memoryFile  = "members"
	memoryMagic = "consul-members 1"
	// memoryTick: the members of a cluster change by the hand of people.
	memoryTick = 5 * time.Second
)

// readMemory returns what is remembered; found is false where nothing is, or
// nothing that can be read.
func readMemory(dir string) (m memory, found bool) {
	err := disklog.ReadSealed(filepath.Join(dir, memoryFile), memoryMagic, &m)
	return m, err == nil
}

// rememberPeers keeps the memory until the store closes or raft is gone.
func rememberPeers(s *Store, gone <-chan struct{}) {
	tick := time.NewTicker(memoryTick)
	defer tick.Stop()
	last, _ := readMemory(s.disk.dir)
	for {
		if _, servers, err := s.Members().Servers(s.life); err == nil && len(servers) > 0 {
			now := memory{ClusterID: cmp.Or(s.ClusterID(), last.ClusterID), Servers: servers}
			if !reflect.DeepEqual(now, last) {
				if err := disklog.WriteSealed(filepath.Join(s.disk.dir, memoryFile), memoryMagic, now); err != nil {
					s.logger.Warn("cannot write down who the servers are", zap.Error(err))
				} else {
					last = now
				}
			}
		}
		select {
		case <-tick.C:
		case <-gone:
			return
		case <-s.life.Done():
			return
		}
	}
}
