package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/store/state"
)

func newFSM(t testing.TB, st *state.State) *FSM {
	t.Helper()
	f, err := New(st, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func registration(n int) *state.Registration {
	return &state.Registration{
		Node:    &catalog.Node{Name: fmt.Sprintf("n%d", n), Address: "10.0.0.1", Datacenter: "dc1"},
		Service: &catalog.Service{Name: "web", Port: 80, Tags: []string{"a"}, Meta: map[string]string{"k": "v"}},
		Checks:  []*catalog.Check{{CheckID: "c", Status: catalog.Passing, ServiceID: "web"}},
	}
}

// dump writes a state as text, for comparison.
func dump(st *state.State) string {
	var b strings.Builder
	for table, rec := range st.Snapshot().Records() {
		fmt.Fprintf(&b, "%s %+v\n", table, deref(rec))
	}
	return b.String()
}

// deref shows what records point to, for comparison as text.
func deref(v any) any {
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	if r.Kind() == reflect.Struct {
		fields := map[string]any{}
		for i := range r.NumField() {
			if r.Type().Field(i).IsExported() {
				fields[r.Type().Field(i).Name] = deref(r.Field(i).Interface())
			}
		}
		return fields
	}
	return r.Interface()
}

// A leader must not propose what another voter would stop at.
func TestLevels(t *testing.T) {
	f := newFSM(t, state.New(nil))
	for _, c := range []struct {
		shared uint16
		want   error
	}{{Level, nil}, {Level + 1, nil}, {FirstLevel - 1, fault.Unavailable}} {
		if _, err := f.Encode(TypeRegister, registration(1), c.shared); !errors.Is(err, c.want) {
			t.Errorf("servers share level %d: %v, want %v", c.shared, err, c.want)
		}
	}
	for typ, c := range f.commands {
		if c.level < FirstLevel || c.level > Level {
			t.Errorf("command %d has level %d, known are %d to %d", typ, c.level, FirstLevel, Level)
		}
	}
}

// The state of a server and what a snapshot of it restores are the same, and a
// snapshot that is not whole changes nothing.
func TestImage(t *testing.T) {
	from := state.New(nil)
	im := newFSM(t, from).image
	for n := range 500 {
		tx := from.Begin(uint64(n + 1))
		tx.FoundCluster("the-cluster", 1)
		r := registration(n)
		r.Service.Proxy.Config = map[string]any{"deep": map[string]any{"n": 1.5, "list": []any{"x", true, nil}}}
		if err := tx.EnsureRegistration(r); err != nil {
			t.Fatal(err)
		}
		tx.Commit()
	}
	var b bytes.Buffer
	if err := im.write(&b, from.Snapshot(), 4711); err != nil {
		t.Fatal(err)
	}
	to := state.New(nil)
	if index, err := im.read(bytes.NewReader(b.Bytes()), to); err != nil || index != 4711 {
		t.Fatalf("index %d: %v", index, err)
	}
	want := dump(from)
	if got := dump(to); got != want {
		t.Error("the restored state differs")
	}
	if _, list := to.Inventory(nil).Instances(); fmt.Sprint(list[0].Service.Proxy.Config) != "map[deep:map[list:[x true <nil>] n:1.5]]" {
		t.Errorf("free-form fields came back as %v", list[0].Service.Proxy.Config)
	}
	r := rand.New(rand.NewPCG(5, 6))
	empty := dump(state.New(nil))
	for i := range 60 {
		bad := bytes.Clone(b.Bytes())
		switch i % 3 {
		case 0:
			bad = bad[:r.IntN(len(bad))]
		case 1:
			bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		case 2:
			bad = append(bad, byte(i))
		}
		st := state.New(nil)
		if _, err := im.read(bytes.NewReader(bad), st); err == nil {
			t.Errorf("case %d: a damaged image is taken", i)
		}
		if dump(st) != empty {
			t.Errorf("case %d: a refused image left something", i)
		}
	}
}

func TestInOrder(t *testing.T) {
	jobs := func(yield func(int) bool) {
		for i := 0; i < 1000 && yield(i); i++ {
		}
	}
	var got []string
	double := func(i int) string { return fmt.Sprint(2 * i) }
	if err := inOrder(jobs, double, func(s string) error { got = append(got, s); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1000 || !slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) }) || got[999] != "1998" || got[500] != "1000" {
		t.Errorf("got %d results, the last %q", len(got), got[len(got)-1])
	}
	taken := 0
	err := inOrder(jobs, double, func(string) error {
		if taken++; taken == 10 {
			return fault.Newf(fault.Invalid, "enough")
		}
		return nil
	})
	if fault.Of(err) != fault.Invalid || taken != 10 {
		t.Errorf("after %d results: %v", taken, err)
	}
}
