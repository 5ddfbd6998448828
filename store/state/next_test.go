package state

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"consul.internal/catalog"
)

// pair is the same entries in two states: one transaction each, and one for many.
type pair struct {
	t        *testing.T
	one, all *fixture
	tx       *Txn
}

func newPair(t *testing.T) *pair { return &pair{t: t, one: newFixture(t), all: newFixture(t)} }

func (p *pair) do(fn func(*Txn) error) {
	index, err := p.one.do(fn)
	if err != nil {
		return
	}
	if p.tx == nil {
		p.tx = p.all.Begin(index)
	} else {
		p.tx.Next(index)
	}
	if err := fn(p.tx); err != nil {
		p.t.Fatalf("only among others: %v", err)
	}
}

// same ends the transaction and compares.
func (p *pair) same() {
	p.t.Helper()
	if p.tx == nil {
		return
	}
	p.tx.Commit()
	p.tx = nil
	if got, want := asJSON(p.t, p.all.dump()), asJSON(p.t, p.one.dump()); got != want {
		p.t.Fatalf("one transaction made\n%s\nmany made\n%s", got, want)
	}
	if got, want := shown(p.t, p.all.State), shown(p.t, p.one.State); got != want {
		p.t.Fatalf("one transaction shows\n%s\nmany show\n%s", got, want)
	}
}

// shown is what the queries answer.
func shown(t *testing.T, s *State) string {
	text := ""
	for _, q := range queries() {
		index, v := q.read(s, nil)
		text += fmt.Sprintf("%s at %d: %s\n", q.name, index, asJSON(t, v))
	}
	return text
}

// Entries brought in by one transaction make what they make one by one.
func TestManyEntriesInOneTransaction(t *testing.T) {
	for seed := range uint64(6) {
		p, r := newPair(t), rand.New(rand.NewPCG(seed, 2))
		for range 40 {
			for range 1 + r.IntN(40) {
				in, out := randomStep(r)
				p.do(func(tx *Txn) error {
					if in != nil {
						return tx.EnsureRegistration(in)
					}
					return tx.Deregister(out)
				})
			}
			p.same()
		}
	}
}

// Which tombstones are given up hangs on the order of entries.
func TestTombstonesInOneTransaction(t *testing.T) {
	p := newPair(t)
	p.do(func(tx *Txn) error { return tx.EnsureRegistration(reg("n1", "keep")) })
	for i := range maxTombstones + 400 {
		name := fmt.Sprintf("s%d", i%(maxTombstones-200)) // the first ones come back
		p.do(func(tx *Txn) error { return tx.EnsureRegistration(reg("n1", name)) })
		if i%3 > 0 {
			p.do(func(tx *Txn) error { return tx.Deregister(&Deregistration{Node: "n1", ServiceID: name}) })
		}
		if i%7 == 0 { // back at once: its tombstone may have pushed out an older one
			p.do(func(tx *Txn) error { return tx.EnsureRegistration(reg("n1", name)) })
		}
		if i > maxTombstones*3/4 && i%427 == 0 { // which is a multiple of 7
			p.same()
		}
	}
	p.same()
}

// While the feed is held nothing is told; then all is, once, and the same as
// entry by entry.
func TestHeldFeed(t *testing.T) {
	p := newPair(t)
	p.all.HoldFeed()
	var told follower
	r := rand.New(rand.NewPCG(9, 9))
	for range 300 {
		in, out := randomStep(r)
		p.do(func(tx *Txn) error {
			if in != nil {
				return tx.EnsureRegistration(in)
			}
			return tx.Deregister(out)
		})
	}
	p.same()
	if len(p.all.batches) > 0 {
		t.Errorf("told %d batches while held", len(p.all.batches))
	}
	p.all.ReleaseFeed()
	if len(p.all.batches) != 1 || !p.all.batches[0].Reset || p.all.batches[0].Index != p.all.Index() {
		t.Fatalf("told %+v", p.all.batches)
	}
	told.take(t, p.all.batches[0])
	var one follower
	for _, b := range p.one.batches {
		one.take(t, b)
	}
	if got, want := asJSON(t, told.instances), asJSON(t, one.instances); got != want {
		t.Errorf("told at once\n%s\none by one\n%s", got, want)
	}
	p.all.register(reg("another", "web"))
	if len(p.all.batches) != 2 {
		t.Error("nothing is told after the release")
	}
}

// A restore that is foretold tells the catalog before the keys are there, and the
// whole state at the end.
func TestForetell(t *testing.T) {
	from, to := newFixture(t), newFixture(t)
	from.register(reg("a", "web"))
	from.register(reg("b", "web"))
	from.set("some/key", "1")
	to.HoldFeed()
	to.Foretell()
	r := to.Restore()
	for table, rec := range from.Snapshot().Records() {
		into, err := r.Record(table)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(asJSON(t, rec)), into); err != nil {
			t.Fatal(err)
		}
		if err := r.Add(table, into); err != nil {
			t.Fatal(err)
		}
		if table == tableKeys && len(to.batches) != 1 {
			t.Errorf("%d batches told before the keys, want 1", len(to.batches))
		}
	}
	if err := r.Commit(from.Index()); err != nil {
		t.Fatal(err)
	}
	to.ReleaseFeed()
	if len(to.batches) != 2 {
		t.Fatalf("told %+v", to.batches)
	}
	var foretold, told follower
	foretold.take(t, to.batches[0])
	told.take(t, to.batches[1])
	if got, want := asJSON(t, foretold.instances), asJSON(t, told.instances); got != want || len(told.instances) != 2 {
		t.Errorf("foretold\n%s\nthen\n%s", got, want)
	}
	if first := to.batches[0]; !first.Reset || first.Index != 0 {
		t.Errorf("the first one has index %d, reset %v", first.Index, first.Reset)
	}
	if err := to.Restore().Add(tableChecks, &catalog.Check{}); err != nil {
		t.Errorf("a check before any key: %v", err)
	}
	if err := r.Add(tableNodes, &catalog.Node{Name: "late"}); err == nil {
		t.Error("a node behind the keys was taken")
	}
}

// A list of instances stays sorted and whole, and never changes under a reader.
func TestRowList(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var list rowList
	want := map[string]*serviceRow{}
	for range 5000 {
		row := &serviceRow{Node: fmt.Sprintf("n%d", r.IntN(40)), Service: &catalog.Service{ID: fmt.Sprintf("S%d", r.IntN(40))}}
		before, text, look := list, "", r.IntN(100) == 0
		if look {
			text = fmt.Sprint(list)
		}
		if r.IntN(3) == 0 {
			list = list.without(row)
			delete(want, row.key())
		} else {
			list = list.with(row)
			want[row.key()] = row
		}
		if look && fmt.Sprint(before) != text {
			t.Fatal("a list changed")
		}
		n := 0
		var last *serviceRow
		for row := range (&nameRow{rows: list}).all() {
			if want[row.key()] != row || last != nil && last.compare(row) >= 0 {
				t.Fatalf("%s/%s is wrong or not in its place", row.Node, row.Service.ID)
			}
			last = row
			n++
		}
		if n != len(want) || slices.ContainsFunc(list, func(p []*serviceRow) bool { return len(p) == 0 || len(p) > maxPart }) {
			t.Fatalf("%d instances, want %d, in %d parts", n, len(want), len(list))
		}
	}
}
