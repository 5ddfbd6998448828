package table

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// Config bounds a Table.
type Config struct {
	Bytes int // about how much memory the entries may take
}

// DefaultConfig returns the values of an agent.
func DefaultConfig() Config {
	return Config{
		Bytes: 64 << 20, // some 250,000 questions with three records each
	}
}

// Table keeps entries by their keys. Readers take no lock and never wait.
type Table struct {
	cfg  Config
	seed maphash.Seed
	// slots is a power of two of places, of which half is used at most, so that a
	// search ends. It is replaced when it grows.
	slots atomic.Pointer[[]atomic.Pointer[Entry]]

	mu    sync.Mutex // of who puts
	used  int
	bytes int
}

// minSlots is where a table begins: what a small catalog is asked for.
const minSlots = 1 << 10

// New returns an empty Table.
func New(cfg Config) *Table {
	t := &Table{cfg: cfg, seed: maphash.MakeSeed()}
	slots := make([]atomic.Pointer[Entry], minSlots)
	t.slots.Store(&slots)
	return t
}

// Probe is one of several lookups that are made together.
type Probe struct {
	Key   []byte
	Entry *Entry // found; nil if there is none
	hash  uint64
}

// Find looks up some keys. It takes them a step at a time, each step for all: the
// places of all are being fetched from memory while the first is waited for.
func (t *Table) Find(probes []Probe) {
	slots := *t.slots.Load()
	mask := uint64(len(slots) - 1)
	for i := range probes {
		p := &probes[i]
		p.hash = maphash.Bytes(t.seed, p.Key)
	}
	for i := range probes {
		p := &probes[i]
		p.Entry = slots[p.hash&mask].Load()
	}
	for i := range probes {
		p := &probes[i]
		if e := p.Entry; e == nil || !e.is(p.hash, p.Key) {
			p.Entry = find(slots, p.hash, p.Key)
		}
	}
}

func find(slots []atomic.Pointer[Entry], hash uint64, key []byte) *Entry {
	mask := uint64(len(slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		e := slots[at].Load()
		if e == nil || e.is(hash, key) {
			return e
		}
	}
}

// Put keeps an answer in the place of an earlier one for its key. Valid tells of
// an entry whether it may still be used; the others go first when there is no room.
func (t *Table) Put(key, answer []byte, m Mark, valid func(*Entry) bool) error {
	hash := maphash.Bytes(t.seed, key)
	e, err := newEntry(hash, key, answer, m)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	slots := *t.slots.Load()
	if 2*(t.used+1) > len(slots) || t.bytes+int(e.size) > t.cfg.Bytes {
		slots = t.rebuild(valid)
	}
	t.store(slots, e)
	return nil
}

// store puts an entry into its place. The lock is held.
func (t *Table) store(slots []atomic.Pointer[Entry], e *Entry) {
	mask := uint64(len(slots) - 1)
	for at := e.hash & mask; ; at = (at + 1) & mask {
		old := slots[at].Load()
		if old == nil {
			t.used++
		} else if old.is(e.hash, e.key()) {
			t.bytes -= int(old.size)
		} else {
			continue
		}
		t.bytes += int(e.size)
		slots[at].Store(e)
		return
	}
}

// rebuild makes room: entries that are no longer valid go, and if the others fill
// three quarters of what is allowed, every second of them, whichever it is. Readers
// go on with the old slots meanwhile.
func (t *Table) rebuild(valid func(*Entry) bool) []atomic.Pointer[Entry] {
	old := *t.slots.Load()
	var kept []*Entry
	bytes := 0
	for i := range old {
		if e := old[i].Load(); e != nil && valid(e) {
			kept = append(kept, e)
			bytes += int(e.size)
		}
	}
	if bytes > t.cfg.Bytes/4*3 {
		rand.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
		kept = kept[:len(kept)/2]
	}
	n := minSlots
	for n < 4*(len(kept)+1) { // as many again come before the next time
		n *= 2
	}
	slots := make([]atomic.Pointer[Entry], n)
	t.used, t.bytes = 0, 0
	for _, e := range kept {
		t.store(slots, e)
	}
	t.slots.Store(&slots)
	return slots
}

// Stats returns how many entries there are, valid or not, and their bytes.
func (t *Table) Stats() (entries, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used, t.bytes
}
