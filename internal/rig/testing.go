//go:build linux

package rig

import (
	"testing"

	"go.uber.org/zap/zaptest"
)

// ForTest opens a rig for one test and closes it at its end. Where it cannot
// run, the test is skipped and says why. If the test fails, it shows the end of
// what each process wrote.
func ForTest(t testing.TB, cfg Config) *Rig {
	t.Helper()
	if err := Available(); err != nil {
		t.Skipf("SKIPPED, nothing was tested: %v", err)
	}
	r, err := New(cfg, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, h := range r.Hosts() {
				for _, p := range h.Processes() {
					t.Logf("%s: %s:\n%s", h.Name(), p, p.Tail(maxTail))
				}
			}
		}
		if err := r.Close(); err != nil {
			t.Errorf("closing the rig: %v", err)
		}
	})
	return r
}
