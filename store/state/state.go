package state

import (
	"sync/atomic"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

// State is the whole of the replicated tables. Any number of goroutines may
// read; one at a time may write (Begin, Restore).
type State struct {
	db    atomic.Pointer[database]
	index atomic.Uint64
	feed  func(catalog.Batch)
	held  bool // HoldFeed; the writer's
	// foretell is Foretell; the writer's.
	foretell bool
}

// database is one life of the tables; a restore replaces it whole.
type database struct {
	*memdb.MemDB
	abandoned chan struct{}   // closed when the database is replaced: every watcher must ask again
	prompt    map[string]bool // tables in which one record may bar another from a key
}

// New makes an empty state. feed, which may be nil, is called after each commit
// that changed nodes, services or checks, in commit order and by the writer's
// goroutine: it must be quick.
func New(feed func(catalog.Batch)) *State {
	if feed == nil {
		feed = func(catalog.Batch) {}
	}
	s := &State{feed: feed}
	s.db.Store(newDatabase())
	return s
}

func newDatabase() *database {
	tables := schema()
	db, err := memdb.NewMemDB(tables)
	must(err)
	d := &database{MemDB: db, abandoned: make(chan struct{}), prompt: map[string]bool{}}
	for name, table := range tables.Tables {
		for _, index := range table.Indexes {
			d.prompt[name] = d.prompt[name] || index.Unique && index.Name != primary
		}
	}
	return d
}

// Index is that of the last committed transaction, 0 before the first.
func (s *State) Index() uint64 { return s.index.Load() }

// read begins a read. ws may be nil.
func (s *State) read(ws memdb.WatchSet) *memdb.Txn {
	db := s.db.Load()
	ws.Add(db.abandoned)
	return db.Txn(false)
}
