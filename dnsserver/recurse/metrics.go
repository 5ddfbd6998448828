package recurse

import "sync/atomic"

// counters count what a recursor did. They only grow.
type counters struct {
	asked, hits, stale, shared  atomic.Uint64
	failed, busy, loops, panics atomic.Uint64
	sent, truncated, strange    atomic.Uint64
}

// Stats is what a recursor has done since it was made, and what it holds.
type Stats struct {
	Asked     uint64 // questions
	Hits      uint64 // answered from memory, fresh
	Stale     uint64 // answered from memory, old
	Shared    uint64 // that waited for an equal one
	Failed    uint64 // to which no upstream had an answer
	Busy      uint64 // refused because too many were under way
	Loops     uint64 // our own, sent back to us
	Panics    uint64 // that hit a bug
	Sent      uint64 // messages to upstreams
	Truncated uint64 // asked again over TCP for their size
	Strange   uint64 // messages that answered no question of ours
	Entries   int    // answers remembered
	Bytes     int    // what they take up
	InFlight  int    // questions to upstreams under way
}

// Stats returns the counters.
func (r *Recursor) Stats() Stats {
	c := &r.count
	s := Stats{
		Asked: c.asked.Load(), Hits: c.hits.Load(), Stale: c.stale.Load(), Shared: c.shared.Load(), Failed: c.failed.Load(),
		Busy: c.busy.Load(), Loops: c.loops.Load(), Panics: c.panics.Load(), Sent: c.sent.Load(),
		Truncated: c.truncated.Load(), Strange: c.strange.Load(),
	}
	s.Entries, s.Bytes = r.cache.size()
	r.mu.Lock()
	s.InFlight = len(r.flights)
	r.mu.Unlock()
	return s
}
