//go:build linux

package lab

import (
	"context"
	"testing"
	"time"
)

func TestScratch(t *testing.T) {
	l := started(t, shape{servers: 3, clients: 2})
	a, other := l.clients[1], l.clients[0]
	if _, err := await(l.ctx, surely, a.register); err != nil {
		t.Fatal(err)
	}
	l.everywhere(surely, nil, a.host.Addr().String())
	lead := l.leader()
	f := l.followers()[0]
	for i := range 16 {
		to, st, want := "fail", "critical", []string(nil)
		if i%2 == 1 {
			to, st, want = "pass", "passing", []string{a.host.Addr().String()}
		}
		begin := time.Now()
		done := make(chan string, 3)
		at := func(name string, look func() bool) {
			go func() {
				for !look() {
					time.Sleep(time.Millisecond)
				}
				done <- name + " " + time.Since(begin).Round(100*time.Microsecond).String()
			}()
		}
		st0 := func(s *agent) func() bool {
			return func() bool {
				var cs []struct{ Status string }
				return s.get(context.Background(), "/v1/health/checks/app?stale", &cs) == nil && len(cs) == 1 && cs[0].Status == st
			}
		}
		at("leader", st0(lead))
		at("follower", st0(f))
		at("dns", func() bool { return other.answers(l.ctx, appName, want...) == nil })
		if err := a.put(l.ctx, "/v1/agent/check/"+to+"/"+ttlID, nil); err != nil {
			t.Fatal(err)
		}
		p := time.Since(begin)
		t.Log(to, "put", p.Round(100*time.Microsecond), <-done, <-done, <-done)
		pause(l.ctx, 300*time.Millisecond)
	}
}
