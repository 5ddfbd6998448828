package disklog

import (
	"sync"

	"github.com/hashicorp/raft"
)

// Unshown remembers which entries of the log are not commands, as runs of
// neighbours. raft does not show those to the FSM, so whoever waits until the FSM
// has reached an index must wait for the last command up to it.
type Unshown struct {
	mu   sync.Mutex
	last uint64 // noted
	runs []run
}

// run is entries from the first to the last index.
type run struct{ first, last uint64 }

// keepRuns is far more than the elections, with a command between each and the
// next, that can happen while one read waits.
const keepRuns = 256

// Note is told of every entry that is stored, in order.
func (o *Unshown) Note(log *raft.Log) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := len(o.runs); n > 0 && o.runs[n-1].last >= log.Index; n-- {
		// The end of the log was cut, and is written anew.
		if o.runs[n-1].last = log.Index - 1; o.runs[n-1].last >= o.runs[n-1].first {
			break
		}
		o.runs = o.runs[:n-1]
	}
	if log.Index > o.last+1 {
		// What lies between came as a snapshot, which was restored before this.
		o.add(run{o.last + 1, log.Index - 1})
	}
	o.last = log.Index
	if log.Type != raft.LogCommand && log.Type != raft.LogConfiguration {
		o.add(run{log.Index, log.Index})
	}
}

func (o *Unshown) add(r run) {
	if n := len(o.runs); n > 0 && o.runs[n-1].last+1 == r.first {
		o.runs[n-1].last = r.last
		return
	}
	if len(o.runs) == keepRuns {
		o.runs = append(o.runs[:0], o.runs[1:]...)
	}
	o.runs = append(o.runs, r)
}

// LastShown is the highest index up to index whose entry the FSM is shown.
func (o *Unshown) LastShown(index uint64) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(o.runs) - 1; i >= 0; i-- {
		if r := o.runs[i]; r.first <= index && index <= r.last {
			return r.first - 1
		}
	}
	return index
}

// Memory is raft's log in memory, for an agent without a data directory.
type Memory struct {
	*raft.InmemStore
	Unshown *Unshown
}

// StoreLog implements raft.LogStore.
func (l Memory) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (l Memory) StoreLogs(logs []*raft.Log) error {
	for _, log := range logs {
		l.Unshown.Note(log)
	}
	return l.InmemStore.StoreLogs(logs)
}
