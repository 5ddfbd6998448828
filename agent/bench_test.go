package agent

import (
	"fmt"
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
