package store

import (
	"time"

	"go.uber.org/zap"
)

const (
	// shortenLooks is how many times more often than raft itself looks, the store
	// looks at what a restart would have to replay: every second at the defaults.
	shortenLooks = 30
	// shortenLeast keeps the ticker slow where raft_snapshot_interval is tiny.
	shortenLeast = 50 * time.Millisecond
	// shortenShare of the time at most goes to such snapshots: 1/10. A large state
	// takes longer to save, and is saved more rarely.
	shortenShare = 10
)

// shorten takes a snapshot when half of raft_snapshot_threshold has come together
// since the last one, if snapshots are quick: a restart reads a snapshot in half the
// time that the entries take which made it. raft's own look at the threshold, which
// comes by chance within a minute, remains for what is slow.
func shorten(s *Store, n *node, from uint64) {
	tick := time.NewTicker(max(s.cfg.SnapshotInterval/shortenLooks, shortenLeast))
	defer tick.Stop()
	saved, rest := from, time.Time{}
	for {
		select {
		case <-s.life.Done():
			return
		case <-n.gone:
			return
		case now := <-tick.C:
			applied := s.fsm.Applied()
			if applied < saved+max(s.cfg.SnapshotThreshold/2, 1) || now.Before(rest) {
				continue
			}
			if err := s.Snapshot(s.life); err != nil {
				// raft refuses while its configuration changes, and says itself what else went wrong.
				s.logger.Debug("no snapshot now; trying again", zap.Error(err))
			} else {
				saved = applied
			}
			took := time.Since(now)
			rest = now.Add(shortenShare * took)
		}
	}
}
