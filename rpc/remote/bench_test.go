package remote_test

import (
	"context"
	"net"
	"testing"

	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"go.uber.org/zap"
)

// BenchmarkCall is one small call over loopback, alone and many at once.
func BenchmarkCall(b *testing.B) {
	s, err := remote.NewServer(remote.ServerDeps{Handler: &handler{}, Contract: contract(), Logger: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Open(b.Context(), l); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c, err := remote.NewConn(remote.ConnConfig{Addr: l.Addr().String(), Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	in := &thing{Text: "web", Map: map[string]string{"os": "linux"}, List: []string{"v1"}}
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := rpc.Call(b.Context(), c, echo, in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := rpc.Call(b.Context(), c, echo, in); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
