package fsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"consul.internal/catalog"
	"consul.internal/query"
	"consul.internal/store/state"
)

// anything makes a command out of all that there are. Names are few and differ in
// case, lists and maps are absent or empty, so that records meet.
func anything(r *rand.Rand, n int) (Type, any) {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	node := pick("n1", "N1", "n2", "n3", "n4", "n5")
	service := pick("web", "Web", "db", "cache")
	tags := [][]string{nil, {}, {"a"}, {"a", "b"}, {"b", "a"}}[r.IntN(5)]
	meta := []map[string]string{nil, {}, {"k": "v"}, {"k": "v", "l": ""}}[r.IntN(4)]
	switch r.IntN(10) {
	case 0:
		return TypeDeregister, &state.Deregistration{Node: node, ServiceID: pick("", service)}
	case 1:
		return TypePlace, &PlaceNodes{Nodes: []catalog.NodeCoordinate{{Node: node, Coord: &catalog.Coordinate{Vec: make([]float64, 8), Error: 1.5, Height: r.Float64()}}}}
	case 2:
		id := fmt.Sprintf("00000000-0000-0000-0000-%012d", r.IntN(3))
		return TypeQuery, &ChangeQuery{Query: &query.Query{ID: id, Name: pick("q1", "q2", ""), Service: query.Service{Service: service, Tags: tags}}}
	case 3:
		return TypeCheckpoint, &Checkpoint{}
	case 4:
		return TypeAutopilot, &SetAutopilot{Config: state.Autopilot{MaxTrailingLogs: uint64(r.IntN(9))}}
	case 5:
		return TypeFound, &FoundCluster{ID: "the-cluster", Expect: 3}
	}
	in := &state.Registration{Node: &catalog.Node{Name: node, Address: pick("10.0.0.1", "10.0.0.2"), Datacenter: "dc1", Meta: meta}}
	if r.IntN(4) > 0 {
		in.Service = &catalog.Service{ID: pick("", service+"-1", service+"-2"), Name: service, Port: r.IntN(3), Tags: tags, Meta: meta}
		if r.IntN(4) == 0 {
			in.Service.Proxy.Config = map[string]any{"n": 1.5, "list": []any{"x", true, nil}, "none": map[string]any{}}
		}
		id := in.Service.ID
		if id == "" {
			id = service
		}
		in.Checks = append(in.Checks, &catalog.Check{CheckID: "c-" + id, Name: "alive", Status: catalog.Status(pick("passing", "critical")), ServiceID: id, Output: pick("", "fine")})
	}
	if r.IntN(3) == 0 {
		in.Checks = append(in.Checks, &catalog.Check{CheckID: fmt.Sprint("c", n%7), Status: catalog.Passing})
	}
	return TypeRegister, in
}

func sumOf(t *testing.T, f *FSM) Sum {
	t.Helper()
	sum, err := f.Sum(t.Context(), 1, f.state.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// Equal states have equal sums, however they came to be: entry by entry, by a
// replay, from a snapshot with the rest of the log. One more entry makes another.
func TestSums(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		one := newFSM(t, state.New(nil))
		var log []*raft.Log
		var image bytes.Buffer
		at := 50 + r.IntN(200)
		var passed []uint64
		one.OnCheckpoint(func(index uint64, _ Checkpoint, snap *state.Snapshot) {
			if snap.Index() != index {
				t.Errorf("the state at checkpoint %d is that of %d", index, snap.Index())
			}
			passed = append(passed, index)
		})
		for n := range 300 {
			typ, body := anything(r, n)
			cmd, err := one.Encode(typ, body, Level)
			if err != nil {
				t.Fatal(err)
			}
			e := &raft.Log{Index: uint64(n + 1), Term: 1, Type: raft.LogCommand, Data: cmd}
			log = append(log, e)
			one.Apply(e)
			if n == at {
				if err := one.WriteImage(&image, one.state.Snapshot(), e.Index); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(passed) == 0 {
			t.Error("no checkpoint was told")
		}
		want := sumOf(t, one)
		if tables := slices.Sorted(maps.Keys(want.Tables)); len(tables) < 7 {
			t.Fatalf("seed %d: only these tables hold something: %v", seed, tables)
		}

		two := newFSM(t, state.New(nil))
		two.OnCheckpoint(func(uint64, Checkpoint, *state.Snapshot) { t.Error("a replay tells of checkpoints") })
		err := two.Replay(t.Context(), Stored{
			First: 1, Last: uint64(len(log)), Committed: uint64(len(log)),
			Read:  func(i uint64, into *raft.Log) error { *into = *log[i-1]; return nil },
			Visit: func(*raft.Log) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		three := newFSM(t, state.New(nil))
		if err := three.Restore(io.NopCloser(&image)); err != nil {
			t.Fatal(err)
		}
		three.ApplyBatch(log)
		for how, f := range map[string]*FSM{"a replay": two, "a snapshot": three} {
			got := sumOf(t, f)
			for table := range want.Tables {
				if got.Tables[table] != want.Tables[table] {
					t.Errorf("seed %d: by %s table %s has another sum", seed, how, table)
				}
			}
			if got.Whole != want.Whole {
				t.Errorf("seed %d: by %s the sum is %s, want %s\n%s\n%s", seed, how, got.Whole, want.Whole, dump(one.state), dump(f.state))
			}
		}

		cmd, err := one.Encode(TypeRegister, registration(int(seed)), Level)
		if err != nil {
			t.Fatal(err)
		}
		one.Apply(&raft.Log{Index: 301, Type: raft.LogCommand, Data: cmd})
		if sumOf(t, one).Whole == want.Whole {
			t.Error("one more registration leaves the sum as it was")
		}
	}
}

// The sum knows every field: none of a record can change without it.
func TestSumOfFields(t *testing.T) {
	base := sumOf(t, newFSM(t, state.New(nil)))
	seen := map[string]string{base.Whole: "nothing"}
	for name, change := range map[string]func(*state.Registration){
		"as it is":    func(*state.Registration) {},
		"port":        func(r *state.Registration) { r.Service.Port++ },
		"tag":         func(r *state.Registration) { r.Service.Tags = []string{"b"} },
		"meta":        func(r *state.Registration) { r.Service.Meta["k"] = "w" },
		"address":     func(r *state.Registration) { r.Node.Address = "10.0.0.2" },
		"status":      func(r *state.Registration) { r.Checks[0].Status = catalog.Critical },
		"output":      func(r *state.Registration) { r.Checks[0].Output = "x" },
		"case":        func(r *state.Registration) { r.Service.Name = "Web"; r.Service.ID = "web" },
		"free fields": func(r *state.Registration) { r.Service.Proxy.Config = map[string]any{"a": 1.0} },
	} {
		f := newFSM(t, state.New(nil))
		in := registration(1)
		change(in)
		tx := f.state.Begin(1)
		if err := tx.EnsureRegistration(in); err != nil {
			t.Fatal(err)
		}
		tx.Commit()
		sum := sumOf(t, f).Whole
		if other, ok := seen[sum]; ok {
			t.Errorf("%s and %s have one sum", name, other)
		}
		seen[sum] = name
	}
}

func TestSumGivesUp(t *testing.T) {
	f := newFSM(t, state.New(nil))
	for n := range sumLook {
		tx := f.state.Begin(uint64(n + 1))
		if err := tx.EnsureRegistration(registration(n)); err != nil {
			t.Fatal(err)
		}
		tx.Commit()
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("closing")
	cancel(why)
	if _, err := f.Sum(ctx, 1, f.state.Snapshot()); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
