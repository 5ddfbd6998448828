//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestPowerCuts: all servers lose their power at once, many times, also soon after
// their very first start. Each starts again unaided, and no write that was
// acknowledged is lost.
func TestPowerCuts(t *testing.T) {
	l := newLab(t, shape{servers: 3, diskMB: 256, expectAll: true})
	var back []time.Duration
	acked, early := 0, 0
	run := func(first bool) {
		for _, s := range l.servers {
			s.start()
		}
		if !first {
			l.formed()
		}
		w := l.write(2, 0, l.servers...)
		if first {
			pause(l.ctx, 100*time.Millisecond+l.jitter(5*time.Second))
			early++
		} else {
			pause(l.ctx, 500*time.Millisecond+l.jitter(2*time.Second))
		}
		l.powerCut()
		w.stop()
		w.done.Wait()
		begin := time.Now()
		for _, s := range l.servers {
			s.start()
		}
		if _, err := await(l.ctx, surely, func(ctx context.Context) error {
			return l.servers[0].put(ctx, "/v1/catalog/register", entry("back", fmt.Sprint(time.Now())))
		}); err != nil {
			t.Fatalf("after a power cut (first start: %v): %v", first, err)
		}
		back = append(back, time.Since(begin))
		l.settle()
		for _, n := range w.acked {
			acked += n
		}
		w.end()
		l.sameState()
		if err := l.oneCluster(); err != nil {
			t.Error(err)
		}
		for _, s := range l.servers {
			s.kill()
		}
	}
	for i := range rounds(3, 20) {
		fresh := i%3 != 2 // the others go on with what the one before left
		if fresh {
			for _, s := range l.servers {
				if err := s.wipe(); err != nil {
					t.Fatal(err)
				}
			}
		}
		run(fresh)
	}
	judge(t, "power cut of all servers, first write after the start", back, 5*time.Second, 0)
	figures(t, t.Name(), nil, "cuts=%d soon-after-the-first-start=%d acknowledged=%d", len(back), early, acked)
}

func (l *lab) powerCut() {
	l.t.Helper()
	for _, s := range l.servers {
		s.mayEnd()
	}
	var err error
	switch len(l.servers) {
	case 3:
		err = l.rig.PowerCut(l.servers[0].host, l.servers[1].host, l.servers[2].host)
	default:
		err = errors.New("three servers are wanted")
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// TestNewAddresses: all servers come back with other addresses; the names in
// retry_join lead to them.
func TestNewAddresses(t *testing.T) {
	l := newLab(t, shape{servers: 3, clients: 1, expectAll: true})
	for _, a := range l.agents() {
		a.start()
	}
	l.formed()
	l.backends()
	c := l.clients[0]
	var elected, client []time.Duration
	for round := range rounds(2, 10) {
		for _, s := range l.servers {
			s.kill()
		}
		for i, s := range l.servers {
			if err := s.host.Readdress(fmt.Sprintf("10.3.%d.%d", round, i+1)); err != nil {
				t.Fatal(err)
			}
		}
		order := slices.Clone(l.servers)
		l.rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		begin := time.Now()
		for _, s := range order {
			s.start()
		}
		if _, err := await(l.ctx, surely, func(ctx context.Context) error {
			return l.servers[0].put(ctx, "/v1/catalog/register", entry("moved", fmt.Sprint(round)))
		}); err != nil {
			t.Fatalf("writes at a server: %v", err)
		}
		elected = append(elected, time.Since(begin))
		if _, err := await(l.ctx, surely, func(ctx context.Context) error {
			return c.put(ctx, "/v1/catalog/register", entry("moved", fmt.Sprint(round)))
		}); err != nil {
			t.Fatalf("writes at the client: %v", err)
		}
		client = append(client, time.Since(begin))
		l.settle()
		if err := l.oneCluster(); err != nil {
			t.Error(err)
		}
	}
	judge(t, "all servers with new addresses, first write at a server", elected, formWithin, formWithin)
	judge(t, "all servers with new addresses, first write at the client", client, 2*formWithin, 0)
}
