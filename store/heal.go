package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/internal/durable"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/store/disklog"
)

const (
	// healPause lies between questions to the leader, which may be busy with another server.
	healPause = time.Second
	// healTimeout bounds one question.
	healTimeout = 5 * time.Second
	// healRemind is how often the log says what a server still waits for.
	healRemind = time.Minute
)

// heal begins the way back of a server whose data are damaged. Alone it cannot
// heal: then the error comes back, and says what a person can do. Among others it
// gives its vote up first, since a voter that has forgotten what it acknowledged
// can lose it for all; then it forgets everything and is taken in as a new one.
func heal(s *Store, f founder, damage error) error {
	if !disklog.IsDamage(damage) || s.deps.Demote == nil {
		return damage
	}
	m, known := readMemory(s.disk.dir)
	if known && m.others(s.cfg.NodeID) == 0 || !known && s.cfg.Expect <= 1 {
		return damage
	}
	s.logger.Error("data of this server are damaged. It gives up its vote and fetches everything from the other servers", zap.Error(damage))
	s.work.run(func() {
		if err := healing(s, f, m.ClusterID); err != nil && s.life.Err() == nil {
			s.fail(errors.Join(damage, err))
		}
	})
	return nil
}

// others counts the servers but this one.
func (m memory) others(self string) int {
	n := 0
	for _, sv := range m.Servers {
		if string(sv.ID) != self {
			n++
		}
	}
	return n
}

func healing(s *Store, f founder, cluster string) error {
	if err := s.disk.closeLog(); err != nil {
		s.logger.Warn("closing the damaged log", zap.Error(err))
	}
	if err := giveUpVote(s, cluster, "this server's data are damaged"); err != nil {
		return err
	}
	if err := s.disk.wipe(); err != nil {
		return fmt.Errorf("remove the damaged data: %w", err)
	}
	if err := anew(s, f); err != nil {
		return err
	}
	s.logger.Info("the damaged data are removed; this server fetches everything from the others")
	if n := s.node.Load(); s.life.Err() != nil {
		return n.stop() // Close did not see it
	}
	return nil
}

// giveUpVote waits until the leader has taken this server's vote. what is said of
// the reason.
func giveUpVote(s *Store, cluster, what string) error {
	in := &rpc.RaftDemoteRequest{ID: s.cfg.NodeID, Address: string(s.deps.Transport.LocalAddr()), ClusterID: cluster}
	dir := ""
	if s.disk != nil {
		dir = s.disk.dir
	}
	var told time.Time
	for {
		ctx, cancel := context.WithTimeout(s.life, healTimeout)
		if s.IsLeader() { // it cannot grant itself anything
			_ = s.Members().TransferLeadership(ctx, "") // asked again, if it still leads
		}
		out, err := s.deps.Demote(ctx, in)
		cancel()
		if err == nil && out.Granted {
			return nil
		}
		if time.Since(told) >= healRemind {
			told = time.Now()
			why := ""
			if err == nil {
				why = out.Reason
			}
			s.logger.Warn(what+", and it waits for the leader to take its vote. Without a leader: start the other servers; if they are gone for good, put the raft directory back from a backup",
				zap.String("directory", dir), zap.String("reason", why), zap.Error(err))
		}
		select {
		case <-time.After(healPause):
		case <-s.life.Done():
			return s.life.Err()
		}
	}
}

// anew starts on data that have been removed. The others take this server in; it
// founds nothing.
func anew(s *Store, f founder) error {
	s.cfg.Bootstrap, s.cfg.Expect = false, 0
	f.hold(s)
	if err := s.fsm.Reset(); err != nil {
		return err
	}
	known, err := s.disk.open(s.life)
	f.hold(s)
	if err == nil {
		err = s.former.load(s.disk.dir)
	}
	if err != nil {
		return err
	}
	return s.start(f.on(s.disk), known)
}

// hold keeps from the feed that the state of a server that runs is empty for a
// while; disk.open ends that, and it is called again.
func (f founder) hold(s *Store) {
	if f.until > 0 {
		s.fsm.Hold(f.until)
	}
}

// kept are the files that outlive a wipe: the memory of the others keeps this
// server from founding a cluster of its own if it is cut short here.
var kept = [...]string{"lock", memoryFile, peersInfo}

// wipe removes all data but those that are kept.
func (d *disk) wipe() error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		keep := false
		for _, name := range kept {
			keep = keep || e.Name() == name
		}
		if keep {
			continue
		}
		path := filepath.Join(d.dir, e.Name())
		if e.IsDir() {
			err = os.RemoveAll(path)
		} else {
			err = durable.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Heal answers, on the leader, a damaged server that wants to give up its vote.
// One at a time: while another one is catching up the cluster has none to spare.
func (m Members) Heal(ctx context.Context, in *rpc.RaftDemoteRequest) (*rpc.RaftDemoteReply, error) {
	n, servers, err := m.change(ctx)
	if err != nil {
		return nil, err
	}
	refuse := func(format string, args ...any) (*rpc.RaftDemoteReply, error) {
		return &rpc.RaftDemoteReply{Reason: fmt.Sprintf(format, args...)}, nil
	}
	if id := m.s.ClusterID(); in.ClusterID != "" && in.ClusterID != id {
		return refuse("it belonged to cluster %s, but this is cluster %s", in.ClusterID, id)
	}
	if in.ID == m.s.cfg.NodeID {
		return nil, fault.Newf(fault.Conflict, "server %s leads the cluster; another one with its ID asks to give up its vote", in.ID)
	}
	voter, voters := false, 0
	for _, sv := range servers {
		switch {
		case sv.Suffrage == raft.Voter:
			voters++
			voter = voter || string(sv.ID) == in.ID
		case string(sv.ID) != in.ID && !m.s.deps.replica(string(sv.ID)):
			return refuse("server %s is catching up; one at a time", sv.ID)
		}
	}
	if !voter {
		return &rpc.RaftDemoteReply{Granted: true}, nil
	}
	h, err := m.s.pilot.Health()
	if err != nil {
		return nil, err
	}
	healthy := 0
	for _, sv := range h.Servers {
		if sv.Voter && sv.Healthy && sv.ID != in.ID {
			healthy++
		}
	}
	if healthy < (voters-1)/2+1 {
		return refuse("only %d of the other %d servers are healthy", healthy, voters-1)
	}
	if err := m.done(ctx, n.DemoteVoter(raft.ServerID(in.ID), 0, 0)); err != nil {
		return nil, err
	}
	return &rpc.RaftDemoteReply{Granted: true}, nil
}
