package view

import (
	"slices"
	"sync"
)

// BudgetConfig bounds what the mirrors of an agent keep, all together.
type BudgetConfig struct {
	Follow int // most names that are followed
	Names  int // most names that are kept, followed or not
	Bytes  int // about how much memory they may take
}

// DefaultBudgetConfig returns the values of an agent.
func DefaultBudgetConfig() BudgetConfig {
	return BudgetConfig{
		Follow: 4096,     // far more than one machine's programs ask for, within what a server grants a session
		Names:  10000,    // so that what was asked for today is still there tomorrow
		Bytes:  64 << 20, // what an agent may take beside its own work
	}
}

// Budget is what mirrors share. When it is used up, the names that were asked for
// the longest ago are forgotten, whichever mirror has them.
type Budget struct {
	cfg BudgetConfig

	mu      sync.Mutex // taken while a mirror's is held, never the other way round
	bytes   map[*entry]int
	total   int
	follows int
}

// NewBudget returns an unused Budget.
func NewBudget(cfg BudgetConfig) *Budget {
	return &Budget{cfg: cfg, bytes: map[*entry]int{}}
}

// follow takes the place of one followed name, if there is one.
func (b *Budget) follow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.follows >= b.cfg.Follow {
		return false
	}
	b.follows++
	return true
}

func (b *Budget) unfollow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follows--
}

// charge says how much memory an entry takes now, and returns the entries that
// must be forgotten for it. They are still charged until release.
func (b *Budget) charge(e *entry, bytes int) []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total += bytes - b.bytes[e]
	b.bytes[e] = bytes
	if len(b.bytes) <= b.cfg.Names && b.total <= b.cfg.Bytes {
		return nil
	}
	// Looking for the oldest costs a walk over all, so some more go along.
	names, total := b.cfg.Names-b.cfg.Names/64, b.cfg.Bytes-b.cfg.Bytes/64
	all := make([]*entry, 0, len(b.bytes))
	age := make(map[*entry]int64, len(b.bytes))
	for e := range b.bytes {
		all = append(all, e)
		age[e] = e.used.Load() // read once: the order must not change under the sort
	}
	slices.SortFunc(all, func(x, y *entry) int {
		if age[x] < age[y] {
			return -1
		}
		return 1
	})
	n, left := 0, b.total
	for n < len(all) && (len(all)-n > names || left > total) {
		left -= b.bytes[all[n]]
		n++
	}
	return all[:n]
}

// release gives an entry's memory back.
func (b *Budget) release(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total -= b.bytes[e]
	delete(b.bytes, e)
}

// Used returns how many names are followed and kept, and their bytes.
func (b *Budget) Used() (follows, names, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.follows, len(b.bytes), b.total
}
