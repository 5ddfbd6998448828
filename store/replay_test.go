package store

import (
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
