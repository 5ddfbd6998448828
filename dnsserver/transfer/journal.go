package transfer

import "unsafe"

// change is a record that came or went.
type change struct {
	kind kind
	come bool
	rec  record
}

// entry is what a batch changed.
type entry struct {
	serial  uint64
	changes []change
}

func (e *entry) bytes() int {
	n := int(unsafe.Sizeof(entry{})) + len(e.changes)*int(unsafe.Sizeof(change{}))
	for _, c := range e.changes {
		n += len(c.rec)
	}
	return n
}

// journal is a ring of recent changes. The value is never changed: its owner
// replaces it, and transfers keep reading the one that they have.
type journal struct {
	entries []entry
	floor   uint64 // the zone of this serial and of later ones can be brought up to date
	bytes   int
}

// push adds an entry, and drops the oldest where there is no room.
func (j journal) push(e entry, most int) journal {
	j.entries = append(j.entries, e) // beyond what any reader's slice has
	j.bytes += e.bytes()
	drop := 0
	for drop < len(j.entries) && j.bytes > most {
		j.bytes -= j.entries[drop].bytes()
		j.floor = j.entries[drop].serial
		drop++
	}
	// What is dropped is let go of when append next moves the rest.
	j.entries = j.entries[drop:]
	return j
}

// since gives the sum of all changes after a serial, those that went first; not ok
// if the journal does not go back so far.
func (j journal) since(serial uint64) (gone, come []change, ok bool) {
	if serial < j.floor {
		return nil, nil, false
	}
	type id struct {
		kind kind
		rec  record
	}
	sum := map[id]int{}
	var order []id // of first appearance, so that equal journals give equal transfers
	for i := range j.entries {
		if j.entries[i].serial <= serial {
			continue
		}
		for _, c := range j.entries[i].changes {
			k := id{c.kind, c.rec}
			if _, known := sum[k]; !known {
				order = append(order, k)
			}
			if c.come {
				sum[k]++
			} else {
				sum[k]--
			}
		}
	}
	for _, k := range order {
		switch n := sum[k]; {
		case n < 0:
			gone = append(gone, change{k.kind, false, k.rec})
		case n > 0:
			come = append(come, change{k.kind, true, k.rec})
		}
	}
	return gone, come, true
}
