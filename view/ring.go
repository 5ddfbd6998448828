package view

// ring remembers which names recent batches touched, not what they said: the
// directory holds that. So it is small, and keeps nothing else alive.
type ring struct {
	entries []ringEntry
	floor   uint64 // batches above this index are all here
	bytes   int
}

type ringEntry struct {
	index          uint64
	members        map[Subject]map[key]struct{} // instances by service
	added, removed []uint64                     // of the name index
	bytes          int
}

func (r *ring) reset(index uint64) { *r = ring{floor: index} }

// ringCost is about what one remembered instance costs: two string headers, a
// subject, and its shares of two maps. The strings belong to the catalog.
const ringCost = 160

func (r *ring) push(index uint64, t *touched, added, removed []uint64, cfg FeedConfig) {
	e := ringEntry{index: index, members: t.members, added: added, removed: removed}
	e.bytes = ringCost + 8*(len(added)+len(removed))
	for _, keys := range t.members {
		e.bytes += ringCost * len(keys)
	}
	r.entries = append(r.entries, e)
	r.bytes += e.bytes
	drop := 0
	for drop < len(r.entries) && (len(r.entries)-drop > cfg.RingBatches || r.bytes > cfg.RingBytes) {
		r.bytes -= r.entries[drop].bytes
		r.floor = r.entries[drop].index
		r.entries[drop] = ringEntry{} // let go of its maps; append moves the rest when it must
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
		for k := range e.members[s] {
			out[k] = struct{}{}
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
