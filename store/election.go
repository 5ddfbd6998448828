package store

import (
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// staggerPart of the heartbeat timeout lies between the followers' candidacies:
// about 107 ms, which is more than a message takes between servers 200 ms apart.
const staggerPart = 7

// hasten has followers notice a dead leader as soon as they may. raft looks at its
// last contact only now and then, 0.75 to 1.5 s apart, so it finds the heartbeat
// timeout (0.75 s) passed up to twice that later; and a follower refuses the
// others its pre-vote until it has noticed itself. Here each one looks when the
// timeout has just passed, one after the other in the order of their IDs: the one
// that completes a majority is elected, and no two stand at the same moment, which
// would split the votes.
//
// Nothing is weakened: raft itself looks, by its own rule, and elects as ever.
func hasten(s *Store, n *node, timeout time.Duration) {
	for {
		due := timeout + stagger(n, timeout, raft.ServerID(s.cfg.NodeID))
		_, leader := n.LeaderWithID()
		follows := n.State() == raft.Follower && leader != ""
		left := max(due-time.Since(n.LastContact()), 0)
		switch {
		case !follows:
			left = timeout / staggerPart
		case left == 0:
			look(n, timeout)
			left = timeout / staggerPart
		}
		select {
		case <-time.After(left):
		case <-n.gone:
			return
		case <-s.life.Done():
			return
		}
	}
}

// stagger is how much later than the first a follower notices.
func stagger(n *node, timeout time.Duration, self raft.ServerID) time.Duration {
	f := n.GetConfiguration() // answers from memory
	if f.Error() != nil {
		return 0
	}
	_, leader := n.LeaderWithID()
	var ids []raft.ServerID
	for _, sv := range f.Configuration().Servers {
		if sv.Suffrage == raft.Voter && sv.ID != leader {
			ids = append(ids, sv.ID)
		}
	}
	slices.Sort(ids)
	return timeout / staggerPart * time.Duration(max(slices.Index(ids, self), 0))
}

// look has raft look at its last contact now: it does when its timeout becomes shorter.
func look(n *node, timeout time.Duration) {
	c := n.ReloadableConfig()
	c.HeartbeatTimeout = timeout - time.Millisecond
	if n.ReloadConfig(c) != nil {
		return // raft looks when it does
	}
	c.HeartbeatTimeout = timeout
	_ = n.ReloadConfig(c) // what was valid before
}
