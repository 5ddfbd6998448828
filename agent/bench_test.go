package agent

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"consul.internal/catalog"
	"consul.internal/checks"
)

func BenchmarkRegisterService(b *testing.B) {
	for _, dir := range []string{"memory", "persisted"} {
		b.Run(dir, func(b *testing.B) {
			cfg := testConfig()
			if dir == "persisted" {
				cfg.DataDir = b.TempDir()
			}
			l, err := New(cfg, Deps{Caller: newServers()})
			if err != nil {
				b.Fatal(err)
			}
			if err := l.Open(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				def := &ServiceDefinition{Name: "web", ID: fmt.Sprint("web-", i%1000), Port: 80,
					Checks: []checks.Definition{{TTL: time.Hour, Status: catalog.Passing}}}
				if err := l.RegisterService(def, RegisterOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkHeartbeat(b *testing.B) {
	l, err := New(testConfig(), Deps{Caller: newServers()})
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		if err := l.RegisterCheck(&checks.Definition{Name: fmt.Sprint(i), TTL: time.Hour, Status: catalog.Passing}); err != nil {
			b.Fatal(err)
		}
	}
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprint(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := l.UpdateTTL(ids[i%1000], catalog.Passing, ""); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkThousandChecks lets 1,000 checks at 10 s (400 http, 300 tcp, 300 ttl
// with a heartbeat every 5 s) run for one interval an operation, persistence and
// synchronisation included. core-% is the processor time of this process, which
// also answers the probes and sends the heartbeats: an upper bound.
func BenchmarkThousandChecks(b *testing.B) {
	const interval = 10 * time.Second
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // its Date header changes each output
		_, _ = io.WriteString(w, time.Now().String())
	}))
	b.Cleanup(target.Close)
	cfg := testConfig()
	cfg.DataDir = b.TempDir()
	l, err := New(cfg, Deps{Caller: newServers()})
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	var ttls []string
	for i := range 1000 {
		def := &ServiceDefinition{Name: fmt.Sprint("s", i), Port: 80}
		check := checks.Definition{ID: fmt.Sprint("c", i), Interval: interval}
		switch {
		case i < 400:
			check.HTTP = target.URL
		case i < 700:
			check.TCP = target.Listener.Addr().String()
		default:
			check.Interval, check.TTL = 0, interval
			ttls = append(ttls, check.ID)
		}
		def.Checks = []checks.Definition{check}
		if err := l.RegisterService(def, RegisterOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	beats := time.NewTicker(interval / 2 / time.Duration(len(ttls)))
	defer beats.Stop()
	run := func(n int) {
		for range n * len(ttls) * 2 {
			<-beats.C
			if err := l.UpdateTTL(ttls[0], catalog.Passing, ""); err != nil {
				b.Fatal(err)
			}
			ttls = append(ttls[1:], ttls[0])
		}
	}
	run(2) // until every check has run and is known to the servers
	for id, c := range l.Checks() {
		if c.Status != catalog.Passing {
			b.Fatalf("check %s is %s: %s", id, c.Status, c.Output)
		}
	}
	b.ReportAllocs()
	before, start, n := cpu(b), time.Now(), 0
	for b.Loop() {
		run(1)
		n++
	}
	used, wall := cpu(b)-before, time.Since(start)
	b.ReportMetric(100*float64(used)/float64(wall), "core-%")
	b.ReportMetric(float64(used)/float64(time.Microsecond)/float64(n*1300), "cpu-us/run") // 700 probes and 600 heartbeats an interval
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// cpu is the processor time that this process has taken, in user and kernel mode.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
