package view_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/view"
)

// BenchmarkMirrorService looks up one of the names that a mirror follows.
func BenchmarkMirrorService(b *testing.B) {
	s := newServer()
	const names = 1000
	var all []catalog.Change
	for i := range names {
		all = append(all, set("n", fmt.Sprint(i), fmt.Sprintf("service-%d", i), ""))
	}
	s.apply(1, all...)
	m, err := view.NewMirror(view.DefaultMirrorConfig("dc1"), view.MirrorDeps{
		Source: newNetwork(s), Budget: view.NewBudget(view.DefaultBudgetConfig()), Logger: zap.NewNop(),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	ctx := context.Background()
	asked := make([]string, names)
	for i := range names {
		asked[i] = fmt.Sprintf("service-%d", i)
		if _, _, err := m.Service(ctx, "", asked[i]); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i = (i + 1) % names
			if s, _, _ := m.Service(ctx, "", asked[i]); s == nil {
				b.Fatal("not found")
			}
		}
	})
	b.Run("absent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s, _, err := m.Service(ctx, "", "no-such-name"); s != nil || err != nil {
				b.Fatal("found")
			}
		}
	})
}

// BenchmarkFeedApply changes one of many services, each of which one session follows.
func BenchmarkFeedApply(b *testing.B) {
	for _, sessions := range []int{0, 1000} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			s := newServer()
			const names = 1000
			var all []catalog.Change
			for i := range names {
				all = append(all, set("n", fmt.Sprint(i), fmt.Sprintf("service-%d", i), ""))
			}
			s.apply(1, all...)
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			for i := range sessions {
				ses, err := s.feed.Session(ctx)
				if err != nil {
					b.Fatal(err)
				}
				if err := ses.Send(view.Ask{Subject: svc(fmt.Sprintf("service-%d", i))}); err != nil {
					b.Fatal(err)
				}
				wg.Go(func() {
					for {
						if _, err := ses.Recv(); err != nil {
							return
						}
					}
				})
			}
			b.ReportAllocs()
			one := catalog.Batch{Index: 1}
			for b.Loop() {
				one.Index++
				i := int(one.Index % names)
				one.Changes = all[i : i+1]
				s.feed.Apply(one)
			}
			cancel()
			wg.Wait()
		})
	}
}
