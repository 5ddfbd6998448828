package memnet

import (
	"io"
	"net"
	"sync"
	"testing"
)

func BenchmarkPacket(b *testing.B) {
	n := New(1)
	from, err := n.Host(ipA).ListenPacket(b.Context(), ":1")
	if err != nil {
		b.Fatal(err)
	}
	to, err := n.Host(ipB).ListenPacket(b.Context(), ":1")
	if err != nil {
		b.Fatal(err)
	}
	buf, at := make([]byte, 100), &net.UDPAddr{IP: net.ParseIP(ipB), Port: 1}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.WriteTo(buf, at); err != nil {
			b.Fatal(err)
		}
		if _, _, err := to.ReadFrom(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	n := New(1)
	l, err := n.Host(ipB).Listen(b.Context(), ":1")
	if err != nil {
		b.Fatal(err)
	}
	from, err := n.Host(ipA).Dial(b.Context(), ipB+":1")
	if err != nil {
		b.Fatal(err)
	}
	to, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	var reader sync.WaitGroup
	defer reader.Wait()
	defer from.Close()
	reader.Go(func() {
		if _, err := io.Copy(io.Discard, to); err != nil {
			b.Error(err)
		}
	})
	buf := make([]byte, 4096)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
}
