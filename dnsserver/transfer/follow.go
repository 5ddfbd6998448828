package transfer

import (
	"context"
	"slices"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/view"
)

// version is the zone as of one serial. It is never changed.
type version struct {
	soa     *dns.SOA
	serial  uint64 // of which the SOA record has the lower half
	names   names
	blocks  *frozen
	records int // before further names
	journal journal
	rights  *rights
}

// inbox is the batches that wait to be followed.
type inbox struct {
	batches []catalog.Batch
	changes int
	whole   bool // the state must be read anew instead
}

// Apply hands on what the state has changed. Batches come in their order, and it
// never waits.
func (s *Server) Apply(b catalog.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.follows == nil {
		return
	}
	in := &s.in
	if b.Reset || in.whole || in.changes+len(b.Changes) > s.limits.pending {
		*in = inbox{whole: true}
	} else {
		in.batches = append(in.batches, b)
		in.changes += len(b.Changes)
	}
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// follower brings versions up to date, in one goroutine.
type follower struct {
	s     *Server
	make  *maker
	table *table
	dirty map[view.Subject]bool
	// users are the services whose records are made of another one too, by that one.
	users   map[string]map[string]bool
	records int
	journal journal
	rights  *rights
}

// follow runs until ctx ends.
func (s *Server) follow(ctx context.Context, opt zone.Options) {
	if s.deps.Ready(ctx) != nil {
		return // ctx has ended
	}
	f := &follower{s: s}
	for {
		s.mu.Lock()
		in, may := s.in, s.rights
		s.in = inbox{}
		s.mu.Unlock()
		if may.err != nil {
			in = inbox{} // with other rights all is read anew
		}
		changed := false
		if in.whole {
			f.rebuild(opt, may)
			changed = true
		}
		for _, b := range in.batches {
			changed = f.apply(b) || changed
		}
		if in.whole || len(in.batches) > 0 {
			s.publish(f.version(), changed)
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// rebuild begins anew with the whole state. What secondaries have of before may
// have been made by other rules, so that none of it is brought up to date.
func (f *follower) rebuild(opt zone.Options, may *rights) {
	f.make, f.table, f.records, f.rights = newMaker(opt, may), newTable(), 0, may
	f.dirty, f.users = map[view.Subject]bool{}, map[string]map[string]bool{}
	f.make.dir.OnChange(func(sub view.Subject) { f.dirty[sub] = true })
	index := f.s.deps.Index() // before the state is read: what it lacks is in the inbox
	f.make.dir.Apply(catalog.Batch{Index: index, Reset: true, Changes: f.s.deps.Whole()})
	f.dirty[view.Subject{Kind: view.KindService, Name: catalog.ServiceConsul}] = true // there is an apex always
	f.refresh()
	f.journal = journal{floor: index + 1}
}

// apply follows one batch, and reports whether it changed any record.
func (f *follower) apply(b catalog.Batch) bool {
	if b.Index <= f.make.dir.Index() {
		return false // the whole state had it
	}
	f.make.dir.Apply(b)
	changes := f.refresh()
	if len(changes) == 0 {
		return false
	}
	f.journal = f.journal.push(entry{b.Index, changes}, f.s.limits.ringBytes)
	return true
}

// refresh makes the records of all subjects that have changed.
func (f *follower) refresh() (changes []change) {
	for sub := range f.dirty {
		if sub.Kind == view.KindService {
			for user := range f.users[sub.Name] {
				f.dirty[view.Subject{Kind: view.KindService, Name: user}] = true
			}
		}
	}
	for sub := range f.dirty {
		switch sub.Kind {
		case view.KindService:
			changes = f.replace(changes, kindService, sub.Name, f.service(sub.Name))
			if sub.Name == catalog.ServiceConsul {
				changes = f.replace(changes, kindApex, "", f.make.apex())
			}
		case view.KindNode:
			changes = f.replace(changes, kindNode, sub.Name, f.make.node(sub.Name))
		}
	}
	clear(f.dirty)
	slices.SortFunc(changes, func(a, b change) int { // a target may have gone and come
		if a.rec != b.rec {
			return compare(a.rec, b.rec)
		}
		return 0
	})
	return changes
}

// service makes the records of a service, and remembers what else they are made of.
// What they once were made of stays remembered: it costs making them in vain.
func (f *follower) service(name string) *block {
	f.make.read.take()
	b := f.make.service(name)
	for other := range f.make.read.take() {
		if other == name || b == nil && f.make.dir.Service(name) == nil {
			continue
		}
		if f.users[other] == nil {
			f.users[other] = map[string]bool{}
		}
		f.users[other][name] = true
	}
	return b
}

func compare(a, b record) int {
	if a < b {
		return -1
	}
	return 1
}

// replace stores a block, and appends what that changes.
func (f *follower) replace(changes []change, k kind, name string, next *block) []change {
	key := string(k) + name
	old := f.table.get(key)
	if old == nil && next == nil {
		return changes
	}
	f.table.set(key, next)
	if old == nil {
		old = &block{}
	}
	if next == nil {
		next = &block{}
	}
	note := func(k kind, come bool, r record) {
		changes = append(changes, change{k, come, r})
		if come {
			f.records++
		} else {
			f.records--
		}
	}
	gone, come := difference(old.records, next.records)
	for _, r := range gone {
		note(k, false, r)
	}
	for _, r := range come {
		note(k, true, r)
	}
	gone, come = difference(old.targets, next.targets)
	for _, r := range come {
		if f.refer(r, 1) == 1 {
			note(kindAddr, true, r)
		}
	}
	for _, r := range gone {
		if f.refer(r, -1) == 0 {
			note(kindAddr, false, r)
		}
	}
	return changes
}

// refer counts who has a target, and keeps it while anybody has.
func (f *follower) refer(r record, by int) int {
	key := string(kindAddr) + string(r)
	refs := by
	if b := f.table.get(key); b != nil {
		refs += b.refs
	}
	if refs == 0 {
		f.table.set(key, nil)
	} else {
		f.table.set(key, &block{records: []record{r}, refs: refs})
	}
	return refs
}

func (f *follower) version() *version {
	return &version{
		soa: f.make.soa(), serial: f.make.dir.Index(), names: f.make.names,
		blocks: f.table.freeze(), records: f.records, journal: f.journal, rights: f.rights,
	}
}

// publish shows a version to transfers, and tells secondaries if records changed.
func (s *Server) publish(v *version, changed bool) {
	if v.soa == nil { // the rules gave none: there is nothing to give away
		s.deps.Logger.Error("the zone has no SOA record and is not given to secondaries")
		return
	}
	if v.serial == 0 { // the catalog has never held anything: there is no zone yet
		return
	}
	s.mu.Lock()
	if v.rights != s.rights {
		s.mu.Unlock()
		return // it is made anew already
	}
	s.version = v
	close(s.fresh)
	s.fresh = make(chan struct{})
	var tell []*secondary
	if changed {
		tell = s.secondaries
	}
	s.mu.Unlock()
	for _, t := range tell {
		t.tell()
	}
	s.deps.Logger.Debug("zone", zap.Uint64("serial", v.serial), zap.Int("records", v.records))
}

// current returns a version that has all that the views had when it was called, or
// after a while the newest there is; nil if there is none.
func (s *Server) current(ctx context.Context, wait time.Duration) *version {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	want := s.deps.Index()
	for {
		s.mu.Lock()
		v, fresh, none := s.version, s.fresh, s.rights.err != nil
		s.mu.Unlock()
		if none || v != nil && v.serial >= want {
			return v
		}
		select {
		case <-fresh:
		case <-ctx.Done():
			return v
		}
	}
}
