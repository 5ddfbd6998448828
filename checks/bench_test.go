package checks

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"consul.internal/catalog"
)

// cpu is the processor time that this process has taken, in user and kernel mode.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// answers listens and answers each connection with a fixed HTTP response: what
// it costs is in the figures, so it is as little as can be.
func answers(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReaderSize(conn, 512)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if line == "\r\n" {
						_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"))
						return
					}
				}
			})
		}
	})
	b.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

// BenchmarkProbe measures one run of each kind. cpu-us/op is the processor time
// of this process, which is also the target: an upper bound.
func BenchmarkProbe(b *testing.B) {
	addr := answers(b)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, health.NewServer())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	b.Cleanup(func() { srv.Stop(); <-done })
	secure := newTLSServer(http.NotFoundHandler())
	b.Cleanup(secure.Close)
	for _, bb := range []struct {
		name string
		def  Definition
	}{
		{"http", Definition{HTTP: "http://" + addr + "/health"}},
		{"https", Definition{HTTP: secure.URL, TLSSkipVerify: true}},
		{"tcp", Definition{TCP: addr}},
		{"grpc", Definition{GRPC: l.Addr().String()}},
		{"h2ping", Definition{H2PING: l.Addr().String()}},
		{"script", Definition{Args: []string{"/bin/true"}}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			r, err := New(Config{}, Deps{Sink: newRecord()})
			if err != nil {
				b.Fatal(err)
			}
			bb.def.Interval = time.Second
			c := &check{id: "x", def: &bb.def, kind: bb.def.Kind(), maxSize: 4096, slots: r.probes}
			if err := r.prepare(c); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), c.timeout)
				status, output := c.probe(ctx)
				cancel()
				if status != catalog.Passing && !strings.Contains(output, "404") {
					b.Fatalf("%s %q", status, output)
				}
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1000, "cpu-us/op")
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
