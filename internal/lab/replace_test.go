//go:build linux

package lab

import (
	"testing"
	"time"
)

// replacedWithin is the promise for a server that comes back with nothing.
const replacedWithin = 20 * time.Second

// TestReplace: a server loses its disk and comes back under the old name with a new
// ID; a server is replaced by one with a new name.
func TestReplace(t *testing.T) {
	need(t)
	for _, c := range []struct {
		name string
		wait time.Duration // from the death to the return
	}{{"at once", 0}, {"after it was found dead", 6 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			l := started(t, shape{servers: 3, clients: 1, expectAll: true})
			l.backends()
			w := l.write(2, 10*time.Millisecond, l.clients[0])
			probe := l.clients[0].probeDNS(asInFaultRuns, webName, webAddrs...)
			var times []time.Duration
			for range rounds(1, 10) {
				s := l.followers()[0]
				s.kill()
				pause(l.ctx, c.wait)
				if err := s.wipe(); err != nil {
					t.Fatal(err)
				}
				s.start()
				took, err := await(l.ctx, 3*replacedWithin/2, l.whole)
				if err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
				times = append(times, took)
				if err != nil {
					break
				}
				l.settle()
				l.sameState()
			}
			judge(t, "server with an empty disk, old name and new ID, "+c.name+", whole again", times, replacedWithin, replacedWithin)
			probe.end()
			w.end()
		})
	}
}
