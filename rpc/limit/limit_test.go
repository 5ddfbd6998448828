package limit_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
	"consul.internal/rpc/limit"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

type called int

func (c *called) Call(context.Context, string, any, any) error { *c++; return nil }

func from(addr string) context.Context {
	return rpc.WithSource(context.Background(), netip.MustParseAddr(addr))
}

func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zapcore.DebugLevel)
		reg := metrics.New(metrics.Config{Retention: time.Minute, Filter: metrics.Filter{Default: true}})
		leads := true
		cfg := limit.Config{Mode: limit.Enforcing, ReadRate: 4, WriteRate: 2, SourceReadRate: 3, SourceWriteRate: -1}
		q := limit.NewRequests(cfg, limit.Deps{Log: zap.New(core), Metrics: reg, Leads: func() bool { return leads }})
		var n called
		c := q.Caller(&n)
		read := func(ctx context.Context, opts rpc.ReadOptions) error {
			_, err := rpc.Call(ctx, c, rpc.CatalogNodes, &rpc.NodesRequest{ReadOptions: opts})
			return err
		}
		write := func(ctx context.Context) error {
			_, err := rpc.Call(ctx, c, rpc.CatalogRegister, &rpc.RegisterRequest{})
			return err
		}
		a, b := from("10.0.0.1"), from("10.0.0.2")
		for range 3 {
			if err := read(a, rpc.ReadOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := read(a, rpc.ReadOptions{}); !errors.Is(err, fault.Overloaded) || err.Error() != "rate limit exceeded for operation that can only be performed by the leader, try again later" {
			t.Errorf("a source's fourth read at the leader: %v", err)
		}
		if err := read(b, rpc.ReadOptions{}); err != nil {
			t.Errorf("another source: %v", err)
		}
		if err := read(b, rpc.ReadOptions{Consistency: rpc.Stale}); !errors.Is(err, fault.RateLimited) || err.Error() != "rate limit exceeded, try again later or against a different server" {
			t.Errorf("all reads together, stale: %v", err)
		}
		for range 2 { // writes are counted by themselves
			if err := write(a); err != nil {
				t.Errorf("a write: %v", err)
			}
		}
		leads = false
		if err := write(context.Background()); !errors.Is(err, fault.RateLimited) {
			t.Errorf("a third write, at a follower: %v", err)
		}
		if _, err := rpc.Call(a, c, rpc.StatusLeader, &rpc.StatusRequest{}); err != nil {
			t.Errorf("an exempt operation: %v", err)
		}
		if n != 7 {
			t.Errorf("%d requests were performed", n)
		}
		time.Sleep(time.Second)
		if err := read(a, rpc.ReadOptions{}); err != nil {
			t.Errorf("after a second: %v", err)
		}
		if got := logged.FilterMessage("RPC exceeded allowed rate limit").Len(); got != 3 {
			t.Errorf("%d lines", got)
		}
		line := logged.All()[0].ContextMap()
		if line["rpc"] != "Catalog.Nodes" || line["source_addr"] != "10.0.0.1" || line["limit_type"] != "source/read" || line["limit_enforced"] != true {
			t.Errorf("line %v", line)
		}

		cfg.Mode = limit.Permissive
		q.Reload(cfg)
		for range 50 {
			if err := write(b); err != nil {
				t.Fatalf("permissive: %v", err)
			}
		}
		if got := logged.Len(); got < 10 || got > 20 {
			t.Errorf("%d lines after a flood", got)
		}
		want := `rpc_rate_limit_exceeded{limit_type="global/write",op="Catalog.Register",mode="permissive"} 48`
		if text := string(reg.PrometheusText()); !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
		cfg.Mode = limit.Disabled
		q.Reload(cfg)
		lines := logged.Len()
		for range 50 {
			if err := write(b); err != nil {
				t.Fatalf("disabled: %v", err)
			}
		}
		if logged.Len() != lines {
			t.Error("disabled, but it is told of")
		}
	})
}

func TestOutgoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n called
		o := limit.NewOutgoing(1, 3, nil)
		c := o.Caller(&n)
		ask := func() error {
			_, err := rpc.Call(t.Context(), c, rpc.StatusLeader, &rpc.StatusRequest{})
			return err
		}
		for range 3 {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
		}
		if err := ask(); !errors.Is(err, fault.RateLimited) || err.Error() != "RPC rate limit exceeded" {
			t.Errorf("past the burst: %v", err)
		}
		time.Sleep(time.Second)
		if err := ask(); err != nil {
			t.Errorf("after a second: %v", err)
		}
		o.Reload(1, 3)
		if err := ask(); err == nil {
			t.Error("a reload of the same gave a burst")
		}
		o.Reload(-1, 3)
		for range 100 {
			if err := ask(); err != nil {
				t.Fatalf("no limit: %v", err)
			}
		}
	})
}
