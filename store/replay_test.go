package store

import (
	"fmt"
	"slices"
	"testing"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// An entry that was refused when it was new is refused again when the log is
// replayed, wherever it stands among good ones, and leaves no trace.
func TestRefusedEntriesInTheLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, testConfig(dir))
	ready(t, s)
	for n := range 200 {
		register(t, s, n)
		if n%20 > 1 {
			continue
		}
		bad := registration(1000 + n)
		bad.Checks = append(bad.Checks, &catalog.Check{CheckID: "lost", ServiceID: "nosuch"})
		if _, err := s.Register(t.Context(), bad); fault.Of(err) != fault.Invalid {
			t.Fatalf("a check of an unknown service: %v", err)
		}
	}
	want := dump(s.State())
	kill(t, dir, func(dir string) {
		s := open(t, testConfig(dir))
		ready(t, s)
		if got := dump(s.State()); got != want {
			t.Errorf("replayed %d bytes of text, want %d", len(got), len(want))
		}
	})
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
