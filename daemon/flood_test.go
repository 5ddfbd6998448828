package daemon_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// guessed are the forms of names that nobody has; each leads another way through the agent.
var guessed = []string{"%s.service.consul.", "%s.web.service.consul.", "_%s._tcp.service.consul.", "%s.node.consul.", "%s.query.consul.", "%s.service.dc9.consul.", "%s.addr.consul.", "%s.consul."}

// guess sends questions for names that nobody has, so many a second, until ctx ends.
func guess(ctx context.Context, t *testing.T, to string, rate int, sent, refused *atomic.Uint64) {
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 200, 0, 1)}}
	c, err := d.DialContext(ctx, "udp", to)
	if err != nil {
		t.Error(err)
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for b := make([]byte, 4096); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if n > 3 && b[3]&0xF == dns.RcodeRefused {
				refused.Add(1)
			}
		}
	})
	defer wg.Wait()
	defer func() { _ = c.Close() }() // ends the reader
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for ; n < int(time.Since(began).Seconds()*float64(rate)) && ctx.Err() == nil; n++ {
			m := new(dns.Msg)
			m.SetQuestion(fmt.Sprintf(guessed[n%len(guessed)], fmt.Sprintf("%x", rand.Uint64())), []uint16{dns.TypeA, dns.TypeSRV}[n/len(guessed)%2])
			b, err := m.Pack()
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.Write(b); err == nil {
				sent.Add(1)
			}
		}
	}
}

// TestNameFlood asks a real agent for 50,000 names a second that nobody has, in many
// forms: what it takes of memory stays as it was, and names that exist are answered,
// whether the limits count for who asks or not.
func TestNameFlood(t *testing.T) {
	length := 3 * time.Second
	if *hostileFull {
		length = time.Minute
	}
	bin := build(t)
	for name, exempt := range map[string]string{"exempt": "127.0.0.0/8", "limited": "192.0.2.0/24"} {
		t.Run(name, func(t *testing.T) {
			p := spawn(t, bin, freeAddr(t), t.TempDir(), fmt.Sprintf(`-hcl=log_level = "WARN" dns_config { limit_exempt = [%q] }`, exempt))
			p.await(t, "a leader", func() bool {
				_, err := p.register("web")
				return err == nil
			})
			at := p.addr + ":8600"
			known := func() bool {
				m := new(dns.Msg)
				m.SetQuestion("web.service.consul.", dns.TypeSRV)
				r, _, err := (&dns.Client{Timeout: 2 * time.Second}).Exchange(m, at)
				return err == nil && len(r.Answer) == 1
			}
			flood := func(length time.Duration) (sent, refused, answered, missed uint64) {
				ctx, stop := context.WithTimeout(t.Context(), length)
				defer stop()
				var wg sync.WaitGroup
				var out, no atomic.Uint64
				wg.Go(func() { guess(ctx, t, at, 50_000, &out, &no) })
				for ctx.Err() == nil {
					// A datagram may be lost on a machine that is busy; an asker tries again.
					found := false
					for try := 0; try < 3 && !found; try++ {
						found = known()
					}
					if found {
						answered++
					} else {
						missed++
					}
				}
				wg.Wait()
				return out.Load(), no.Load(), answered, missed
			}
			flood(length / 3) // what a flood takes at most, whatever its length: queues and buffers
			before := rss(t, p.cmd.Process.Pid)
			sent, refused, answered, missed := flood(length)
			after := rss(t, p.cmd.Process.Pid)
			t.Logf("%.0f names a second, %d of %d refused; %d known names answered; RSS %d MB, then %d MB",
				float64(sent)/length.Seconds(), refused, sent, answered, before>>10, after>>10)
			if missed > 0 || answered == 0 {
				t.Errorf("%d known names were answered, %d were not", answered, missed)
			}
			if grown := after - before; grown > 20<<10 {
				t.Errorf("RSS has grown by %d MB", grown>>10)
			}
			if (refused > 0) != (name == "limited") {
				t.Errorf("%d were refused", refused)
			}
		})
	}
}
