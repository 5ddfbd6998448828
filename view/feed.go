package view

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// FeedConfig bounds what a Feed keeps and does.
type FeedConfig struct {
	Heartbeat   time.Duration // how often each session hears from us
	Hold        time.Duration // how long a follower that knows more than we do is kept waiting for us to catch up
	Subjects    int           // most subjects of a session
	Sessions    int           // most sessions
	RingBatches int           // most batches that a returning follower may have missed and still gets only what changed
	RingBytes   int           // about how much memory they may take
}

// DefaultFeedConfig returns the values for the servers of a datacenter.
func DefaultFeedConfig() FeedConfig {
	return FeedConfig{
		Heartbeat:   200 * time.Millisecond, // three missed, and the next server answers, all within a second, over a WAN too
		Hold:        time.Second,            // a server that is more than that behind is no good source
		Subjects:    4096 + 512,             // the names a mirror follows, and those that it asks for once
		Sessions:    16384,                  // more agents than one datacenter has
		RingBatches: 16384,                  // some seconds at the highest write rate, hours at a usual one
		RingBytes:   8 << 20,                // little beside the catalog itself
	}
}

// FeedDeps is what a Feed needs to know of its server. The functions must return
// at once: the writer waits for them.
type FeedDeps struct {
	// Origin names the life that the batches' indexes belong to. It has changed
	// when Apply gets the first batch of a new one.
	Origin func() (cluster string, epoch uint64)
	// LeaderAge is how long ago this server heard of a leader; 0 on the leader.
	LeaderAge func() time.Duration
	// Judge tells what followers may see; nil: all of them see all. It may take its time.
	Judge Judge
}

// Feed offers a directory to followers elsewhere. It stands between the writer
// and the directory, so that it knows exactly what the directory holds. It has
// no goroutines: sessions work when somebody receives from them, and a slow
// receiver costs nobody anything, since a subject that changed often meanwhile
// is told once, as it is then.
type Feed struct {
	cfg  FeedConfig
	deps FeedDeps
	dir  *Directory

	mu        sync.Mutex // guards what follows, and what the sessions hold
	life      Token      // Cluster, Epoch and Index of the last batch
	ring      ring
	names     map[uint64]int // name index: how many names have the hash (more than one hardly ever)
	allNames  []uint64       // the keys of names as they were last told; nil: must be made again
	followers map[Subject]map[*follow]struct{}
	sessions  map[*feedSession]struct{}
	waiting   map[*feedSession]struct{} // those that wait for us to catch up
	judged    uint64                    // how often it has been found out anew who may see what
	closed    bool
}

// NewFeed returns a Feed over a directory, which is empty or as Apply left it.
func NewFeed(cfg FeedConfig, deps FeedDeps, dir *Directory) *Feed {
	f := &Feed{
		cfg: cfg, deps: deps, dir: dir,
		followers: map[Subject]map[*follow]struct{}{},
		sessions:  map[*feedSession]struct{}{},
		waiting:   map[*feedSession]struct{}{},
	}
	if f.life.Index = dir.Index(); f.life.Index != 0 { // an empty one has no life yet
		f.life.Cluster, f.life.Epoch = deps.Origin()
	}
	f.ring.reset(f.life.Index)
	f.countNames()
	return f
}

// Apply applies a batch to the directory and tells the sessions that follow what
// it touches. It is called in the place of Directory.Apply.
func (f *Feed) Apply(b catalog.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !b.Reset && b.Index <= f.life.Index {
		return
	}
	cluster, epoch := f.deps.Origin()
	whole := b.Reset || cluster != f.life.Cluster || epoch != f.life.Epoch
	var t *touched
	if !whole {
		t = f.touch(b)
	}
	f.dir.Apply(b)
	f.life = Token{cluster, epoch, b.Index}
	if whole {
		f.ring.reset(b.Index)
		f.countNames()
		for s := range f.sessions {
			s.restart()
		}
		return
	}
	added, removed := f.recount(t)
	f.ring.push(b.Index, t, added, removed, f.cfg)
	for subject := range t.present {
		f.dirty(subject)
	}
	if len(added)+len(removed) > 0 {
		f.dirty(Subject{Kind: KindIndex})
	}
	// Who waits for us to catch up looks again.
	for s := range f.waiting {
		s.poke()
	}
}

func (f *Feed) dirty(subject Subject) {
	for fl := range f.followers[subject] {
		fl.session.dirty(fl)
	}
}

// touched is what a batch touches, as it was before the batch.
type touched struct {
	present map[Subject]bool // whether it was there
	members []member         // instances, some more than once
}

// touch looks up what a batch is going to touch, by its old names too.
func (f *Feed) touch(b catalog.Batch) *touched {
	t := &touched{present: map[Subject]bool{}}
	for _, c := range b.Changes {
		if !sound(c) {
			continue
		}
		switch c.Op {
		case catalog.NodeSet, catalog.NodeGone:
			f.touchNode(t, c)
		case catalog.InstanceSet, catalog.InstanceGone:
			node, id := catalog.Fold(c.Instance.Node.Name), catalog.Fold(c.Instance.Service.ID)
			if old := f.dir.instance(node, id); old != nil {
				f.touchInstance(t, old)
			}
			if c.Op == catalog.InstanceSet {
				f.touchInstance(t, c.Instance)
			}
		case catalog.ResolverSet, catalog.ResolverGone:
			s := Subject{KindService, catalog.Fold(c.Resolver.Service)}
			f.note(t, s)
			t.members = append(t.members, member{service: s.Name})
		}
	}
	return t
}

func (f *Feed) touchNode(t *touched, c catalog.Change) {
	name := catalog.Fold(c.Node.Name)
	f.note(t, Subject{KindNode, name})
	if old := f.dir.Node(name); old != nil {
		f.noteAddr(t, old.Node.Address)
	}
	if c.Op == catalog.NodeSet {
		f.noteAddr(t, c.Node.Address)
		return
	}
	for _, i := range f.dir.instancesOn(name) {
		f.touchInstance(t, i)
	}
}

func (f *Feed) touchInstance(t *touched, i *catalog.Instance) {
	s := Subject{KindService, catalog.Fold(i.Service.Name)}
	f.note(t, s)
	if m := (member{s.Name, instanceKey(i)}); !slices.Contains(t.members[max(0, len(t.members)-1):], m) { // as it was, then as it is
		t.members = append(t.members, m)
	}
	f.noteAddr(t, i.Service.Address)
}

func (f *Feed) noteAddr(t *touched, s string) {
	if a, ok := parseAddr(s); ok {
		f.note(t, AddressSubject(a))
	}
}

func (f *Feed) note(t *touched, s Subject) {
	if _, known := t.present[s]; !known {
		t.present[s] = f.present(s)
	}
}

// present reports whether a subject has anything.
func (f *Feed) present(s Subject) bool {
	switch s.Kind {
	case KindService:
		return f.dir.Service(s.Name) != nil
	case KindNode:
		return f.dir.Node(s.Name) != nil
	case KindAddress:
		a, ok := parseAddr(s.Name)
		return ok && f.dir.Address(a) != nil
	}
	return false
}

// recount brings the name index up to date after a batch.
func (f *Feed) recount(t *touched) (added, removed []uint64) {
	for s, was := range t.present {
		is := f.present(s)
		if is == was {
			continue
		}
		h := s.hash()
		if is {
			if f.names[h]++; f.names[h] == 1 {
				added = append(added, h)
			}
			continue
		}
		if f.names[h]--; f.names[h] <= 0 {
			delete(f.names, h)
			removed = append(removed, h)
		}
	}
	if len(added)+len(removed) > 0 {
		f.allNames = nil
	}
	return added, removed
}

// countNames makes the name index anew from the directory.
func (f *Feed) countNames() {
	f.names, f.allNames = map[uint64]int{}, nil
	addrs := map[netip.Addr]struct{}{}
	for s := range f.dir.Services() {
		f.names[Subject{KindService, catalog.Fold(s.Name)}.hash()]++
		for _, i := range s.Instances {
			if a, ok := parseAddr(i.Service.Address); ok {
				addrs[a] = struct{}{}
			}
		}
	}
	for n := range f.dir.Nodes() {
		f.names[Subject{KindNode, catalog.Fold(n.Node.Name)}.hash()]++
		if a, ok := parseAddr(n.Node.Address); ok {
			addrs[a] = struct{}{}
		}
	}
	for a := range addrs {
		f.names[AddressSubject(a).hash()]++
	}
}

// everyName is the whole name index, shared by all who get it.
func (f *Feed) everyName() []uint64 {
	if f.allNames == nil {
		f.allNames = make([]uint64, 0, len(f.names))
		for h := range f.names {
			f.allNames = append(f.allNames, h)
		}
		slices.Sort(f.allNames)
	}
	return f.allNames
}

// Session opens a session. It ends with ctx, with Close, and with the Feed.
func (f *Feed) Session(ctx context.Context) (Session, error) {
	s, err := f.session(ctx)
	if err != nil {
		return nil, err // not a nil *feedSession in an interface
	}
	return s, nil
}

func (f *Feed) session(ctx context.Context) (*feedSession, error) {
	s := &feedSession{feed: f, ctx: ctx, follows: map[Subject]*follow{}}
	s.open()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errFeedClosed
	}
	if len(f.sessions) >= f.cfg.Sessions {
		return nil, fault.Newf(fault.RateLimited, "this server has %d followers already; ask another one", len(f.sessions))
	}
	f.sessions[s] = struct{}{}
	return s, nil
}

var errFeedClosed = fault.Newf(fault.Unavailable, "this server is shutting down")

// Close ends all sessions. Apply goes on serving the directory.
func (f *Feed) Close() error {
	f.mu.Lock()
	f.closed = true
	var all []*feedSession
	for s := range f.sessions {
		all = append(all, s)
	}
	f.mu.Unlock()
	for _, s := range all {
		_ = s.Close() // has no errors
	}
	return nil
}

// FeedStats are figures about a Feed.
type FeedStats struct {
	Sessions int
	Subjects int // followed by any session
	Batches  int // kept for those who return
}

// Stats returns the present figures.
func (f *Feed) Stats() FeedStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return FeedStats{Sessions: len(f.sessions), Subjects: len(f.followers), Batches: len(f.ring.entries)}
}

// instance returns the instance of a service on a node, both by folded name, or nil.
func (d *Directory) instance(node, id string) *catalog.Instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.instances[node][id]
}

// instancesOn returns all instances on a node.
func (d *Directory) instancesOn(node string) []*catalog.Instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []*catalog.Instance
	for _, i := range d.instances[node] {
		out = append(out, i)
	}
	return out
}
