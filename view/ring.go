package view

import (
	"slices"
	"unsafe"
)

// ring remembers which names recent batches touched, not what they said: the
// directory holds that. So it is small, and keeps nothing else alive.
type ring struct {
	entries []ringEntry
	floor   uint64 // batches above this index are all here
	bytes   int
}

type ringEntry struct {
	index          uint64
	members        []member
	added, removed []uint64 // of the name index
}

// member is an instance of a service, or its rules, that a batch touched. A list of them, not
// maps: there is mostly one, and a small map takes ten times as much.
type member struct {
	service string // folded
	key     key    // empty: the service's rules
}

func (e *ringEntry) bytes() int {
	return int(unsafe.Sizeof(ringEntry{})) + int(unsafe.Sizeof(member{}))*len(e.members) + 8*(len(e.added)+len(e.removed))
}

func (r *ring) reset(index uint64) { *r = ring{floor: index} }

func (r *ring) push(index uint64, t *touched, added, removed []uint64, cfg FeedConfig) {
	e := ringEntry{index: index, members: slices.Clip(t.members), added: added, removed: removed}
	r.entries = append(r.entries, e)
	r.bytes += e.bytes()
	drop := 0
	for drop < len(r.entries) && (len(r.entries)-drop > cfg.RingBatches || r.bytes > cfg.RingBytes) {
		r.bytes -= r.entries[drop].bytes()
		r.floor = r.entries[drop].index
		r.entries[drop] = ringEntry{} // let go of its lists; append moves the rest when it must
		drop++
	}
	r.entries = r.entries[drop:]
}

// since calls visit with each batch after index, the newest first. It reports
// whether the ring goes back so far.
func (r *ring) since(index uint64, visit func(*ringEntry)) bool {
	if index < r.floor {
		return false
	}
	for i := len(r.entries) - 1; i >= 0 && r.entries[i].index > index; i-- {
		visit(&r.entries[i])
	}
	return true
}

// memberKeys returns which instances of a service were touched after index.
func (r *ring) memberKeys(s Subject, index uint64) (map[key]struct{}, bool) {
	out := map[key]struct{}{}
	ok := r.since(index, func(e *ringEntry) {
		for _, m := range e.members {
			if m.service == s.Name {
				out[m.key] = struct{}{}
			}
		}
	})
	return out, ok
}

// nameChanges returns what became of the name index after index.
func (r *ring) nameChanges(index uint64) (added, removed []uint64, ok bool) {
	last := map[uint64]bool{} // what the newest batch says of a hash counts
	ok = r.since(index, func(e *ringEntry) {
		for _, h := range e.added {
			if _, known := last[h]; !known {
				last[h] = true
			}
		}
		for _, h := range e.removed {
			if _, known := last[h]; !known {
				last[h] = false
			}
		}
	})
	for h, there := range last {
		if there {
			added = append(added, h)
		} else {
			removed = append(removed, h)
		}
	}
	return added, removed, ok
}
