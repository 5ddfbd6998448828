package state

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hashicorp/go-memdb"

	"consul.internal/catalog"
)

func at(x float64) *catalog.Coordinate {
	return &catalog.Coordinate{Vec: []float64{x, 0, 0, 0, 0, 0, 0, 0}, Error: 1.5, Height: 1e-5}
}

// place puts a node somewhere.
func (f *fixture) place(node string, x float64) uint64 {
	f.t.Helper()
	return f.update(catalog.NodeCoordinate{Node: node, Coord: at(x)})
}

func (f *fixture) update(updates ...catalog.NodeCoordinate) uint64 {
	f.t.Helper()
	index, err := f.do(func(tx *Txn) error { Coordinates{tx}.Update(updates); return nil })
	if err != nil {
		f.t.Fatal(err)
	}
	return index
}

func (f *fixture) places() []string {
	var out []string
	_, list := f.Coordinates(nil)
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s/%s %v", c.Node, c.Segment, c.Coord.Vec[0]))
	}
	return out
}

func TestCoordinates(t *testing.T) {
	f := newFixture(t)
	f.register(reg("N1", "web"))
	f.register(reg("n2", ""))
	wantPlaces := func(want ...string) {
		t.Helper()
		if got := f.places(); !slices.Equal(got, want) {
			t.Errorf("places %v, want %v", got, want)
		}
	}
	if index, list := f.Coordinates(nil); index != 1 || list != nil {
		t.Errorf("at the start: %d, %v", index, list)
	}
	bad := at(1)
	bad.Vec[0] = math.NaN()
	f.batches = nil
	at1 := f.update(catalog.NodeCoordinate{Node: "n1", Coord: at(1)}, catalog.NodeCoordinate{Node: "ghost", Coord: at(1)},
		catalog.NodeCoordinate{Node: "n2"}, catalog.NodeCoordinate{Node: "n2", Coord: bad}, catalog.NodeCoordinate{Node: "n2", Segment: "a\x00", Coord: at(1)})
	wantPlaces("N1/ 1") // as the catalog spells it
	if len(f.batches) != 0 {
		t.Errorf("views were told %v", f.batches)
	}
	if index, _ := f.Coordinates(nil); index != at1 {
		t.Errorf("index %d, want %d", index, at1)
	}

	all, one, other := memdb.NewWatchSet(), memdb.NewWatchSet(), memdb.NewWatchSet()
	f.Coordinates(all)
	f.NodeCoordinates(one, "n1")
	_, none := f.NodeCoordinates(other, "n2")
	f.place("n1", 1) // where it is already
	if fired(all) || fired(one) || fired(other) || none != nil {
		t.Error("an update that changes nothing woke somebody")
	}
	at2 := f.update(catalog.NodeCoordinate{Node: "N1", Coord: at(2)}, catalog.NodeCoordinate{Node: "n1", Segment: "x", Coord: at(7)})
	wantPlaces("N1/ 2", "N1/x 7")
	if !fired(all) || !fired(one) {
		t.Error("an update woke nobody")
	}
	if index, list := f.NodeCoordinates(nil, "n1"); index != at2 || len(list) != 2 {
		t.Errorf("node: %d, %v", index, list)
	}
	one = memdb.NewWatchSet()
	f.NodeCoordinates(one, "n1")
	f.place("n2", 3)
	if index, _ := f.NodeCoordinates(nil, "n1"); index != at2 {
		t.Errorf("another node's move raised the index to %d", index)
	}
	gone := f.deregister("n1", "", "")
	wantPlaces("n2/ 3")
	if index, _ := f.Coordinates(nil); index != gone || !fired(one) {
		t.Errorf("removal: index %d, want %d; its watch fired: %v", index, gone, fired(one))
	}
}

func TestDistances(t *testing.T) {
	f := newFixture(t)
	for i, name := range []string{"near", "far", "none", "elsewhere", "lost"} {
		f.register(reg(name, ""))
		if i < 2 {
			f.place(name, float64(i))
		}
	}
	f.update(catalog.NodeCoordinate{Node: "elsewhere", Segment: "x", Coord: at(0)})
	if f.Distances("none") != nil || f.Distances("ghost") != nil {
		t.Error("distances from nowhere")
	}
	far := f.Distances("NEAR")
	for name, want := range map[string]float64{"near": 0, "Far": 1 + 2e-5, "none": math.Inf(1), "ghost": math.Inf(1), "elsewhere": math.Inf(1)} {
		if got := far(name); got != want && math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestCoordinateIndexes: whatever happens, no index goes back, and who waits for
// a result that changes wakes up to a higher one. Now and then all is saved and
// restored.
func TestCoordinateIndexes(t *testing.T) {
	type query struct {
		name string
		read func(*State, memdb.WatchSet) (uint64, []*catalog.NodeCoordinate)
	}
	queries := []query{{"all", (*State).Coordinates}}
	for _, name := range []string{"n1", "n2", "never"} {
		queries = append(queries, query{name, func(s *State, ws memdb.WatchSet) (uint64, []*catalog.NodeCoordinate) {
			return s.NodeCoordinates(ws, name)
		}})
	}
	type seen struct {
		index uint64
		text  string
		ws    memdb.WatchSet
	}
	r := rand.New(rand.NewPCG(2, 2))
	f := newFixture(t)
	for step := range 2000 {
		before := make([]seen, len(queries))
		for i, q := range queries {
			ws := memdb.NewWatchSet()
			index, list := q.read(f.State, ws)
			before[i] = seen{index, asJSON(t, list), ws}
		}
		node := []string{"n1", "n2", "N2"}[r.IntN(3)]
		switch r.IntN(6) {
		case 0:
			f.deregister(node, "", "")
		case 1:
			f.register(reg(node, "web"))
		case 2:
			f.update(catalog.NodeCoordinate{Node: node, Segment: "x", Coord: at(float64(r.IntN(3)))}, catalog.NodeCoordinate{Node: "n1", Coord: at(float64(r.IntN(3)))})
		default:
			f.place(node, float64(r.IntN(3)))
		}
		for i, q := range queries {
			index, list := q.read(f.State, nil)
			if index < before[i].index {
				t.Fatalf("step %d: %s went back from %d to %d", step, q.name, before[i].index, index)
			}
			if asJSON(t, list) != before[i].text && (index == before[i].index || !fired(before[i].ws)) {
				t.Fatalf("step %d: %s changed, its index %d to %d, its watch fired %v", step, q.name, before[i].index, index, fired(before[i].ws))
			}
		}
		if step%100 == 99 {
			restored := New(nil)
			copyState(t, f.State, restored)
			if got, want := asJSON(t, (&fixture{State: restored}).dump()), asJSON(t, f.dump()); got != want {
				t.Fatalf("step %d: restored\n%s\nwant\n%s", step, got, want)
			}
			f.State = restored
		}
	}
	if len(f.places()) == 0 {
		t.Error("nobody was anywhere at the end; the test shows little")
	}
}

func TestRestoreRefusesBadCoordinate(t *testing.T) {
	f := newFixture(t)
	r := f.Restore()
	rec, err := r.Record(tableCoordinates)
	if err != nil {
		t.Fatal(err)
	}
	rec.(*coordinateRow).Node = "n1"
	if err := r.Add(tableCoordinates, rec); err == nil {
		t.Error("a node that is nowhere is restored")
	}
}
