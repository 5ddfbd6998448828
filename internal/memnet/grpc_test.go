package memnet

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.SetDefault(Rule{Delay: 10 * time.Millisecond})
		l, err := n.Host(ipB).Listen(t.Context(), ":8300")
		if err != nil {
			t.Fatal(err)
		}
		srv, state := grpc.NewServer(), health.NewServer()
		healthpb.RegisterHealthServer(srv, state)
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := srv.Serve(l); err != nil {
				t.Error(err)
			}
		})
		defer serving.Wait()
		defer srv.Stop()
		conn, err := grpc.NewClient("passthrough:///"+ipB+":8300",
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				return n.Host(ipA).Dial(ctx, addr)
			}))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		client := healthpb.NewHealthClient(conn)
		call := func(limit time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		}
		if err := call(time.Second); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := call(time.Second); err != nil || time.Since(begin) != 20*time.Millisecond {
			t.Errorf("a call on the open connection: %v after %v, want one round trip", err, time.Since(begin))
		}
		stream, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		n.Cut(ipA, ipB)
		if err := call(time.Second); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a call through the cut: %v", err)
		}
		n.HealAll()
		if err := call(10 * time.Second); err != nil {
			t.Errorf("a call after the cut: %v", err)
		}
		n.Host(ipB).Down()
		if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("the stream of a server that died: %v", err)
		}
		if err := call(time.Second); status.Code(err) != codes.Unavailable {
			t.Errorf("a call to a server that died: %v", err)
		}
		n.Host(ipB).Up()
		time.Sleep(time.Minute) // past grpc's own back-off
		if err := call(time.Second); err != nil {
			t.Errorf("a call to the server that is back: %v", err)
		}
	})
}
