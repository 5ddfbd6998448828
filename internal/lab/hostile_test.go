//go:build linux

package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// maxGrowth of a server's memory under a stranger's bytes.
	maxGrowth = 20 << 20
	// maxMessage bytes of one message of a stranger's.
	maxMessage = 4 << 10
	// strangers send at once.
	strangers = 8
)

// beginnings are the first bytes of what servers understand, so that more than the
// first look at a message is tried.
var beginnings = [][]byte{
	{},
	{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, // a TLS ClientHello
	{0xc1, 1, 0, 60},                        // raft, a hello
	{0xc1, 1, 0xff, 0xff},                   // raft, a hello that is too long
	append([]byte{0xc2}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"...), // gRPC
	append([]byte{0xc2}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\xff\xff\xff\x01\x04\x00\x00\x00\x01"...),
	{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, // memberlist: its message types
	{6, 0xdf, 0xff, 0xff, 0xff, 0xff}, // push and pull, a map of 4 billion
	{9, 0x82, 0xa4, 'A', 'l', 'g', 'o', 0, 0xa3, 'B', 'u', 'f', 0xc6, 0xff, 0xff, 0xff, 0xff}, // compressed
	{244, 3, 'd', 'c', '1'}, // memberlist: a label
	{12, 1, 2, 3, 4},        // memberlist: a checksum
}

// TestStrangers: random and malformed bytes to the ports of servers.
func TestStrangers(t *testing.T) {
	l := started(t, shape{servers: 3, clients: 1})
	l.backends()
	c := l.clients[0]
	h, err := l.rig.Host("stranger")
	if err != nil {
		t.Fatal(err)
	}
	w := l.write(1, 50*time.Millisecond, c)
	probe := c.probeDNS(asInFaultRuns, webName, webAddrs...)
	pause(l.ctx, 2*time.Second)
	before := l.rss()
	peak := slices.Clone(before)
	term := l.terms()
	total := int64(rounds(6000, 100_000))
	var sent, refused atomic.Int64
	var work sync.WaitGroup
	ctx, stop := context.WithTimeout(l.ctx, span(2*time.Minute, 30*time.Minute))
	defer stop()
	for i := range strangers {
		r := rand.New(rand.NewPCG(l.rand.Uint64(), uint64(i)))
		work.Go(func() {
			for sent.Add(1) <= total && ctx.Err() == nil {
				s := l.servers[r.IntN(len(l.servers))]
				network, port := "tcp", rpcPort
				switch r.IntN(3) {
				case 0:
					port = serfPort
				case 1:
					network, port = "udp", serfPort
				}
				conn, err := h.DialContext(ctx, network, s.host.At(port))
				if err != nil {
					refused.Add(1)
					continue
				}
				_ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
				if _, err := conn.Write(message(r)); err != nil {
					refused.Add(1)
				}
				if network == "tcp" && r.IntN(4) == 0 {
					_, _ = conn.Read(make([]byte, 512)) // whatever it says, or nothing
				}
				_ = conn.Close()
			}
		})
	}
	done := make(chan struct{})
	work.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			for i, rss := range l.rss() {
				peak[i] = max(peak[i], rss)
			}
			if sent.Load() > total {
				return
			}
			pause(ctx, 200*time.Millisecond)
		}
	})
	work.Wait()
	close(done)
	after := l.rss()
	var grown []string
	for i, s := range l.servers {
		grown = append(grown, fmt.Sprintf("%s:%d->%d(peak %d)", s.name, before[i]>>20, after[i]>>20, peak[i]>>20))
		if growth := peak[i] - before[i]; growth > maxGrowth {
			t.Errorf("%s grew by %d MB", s.name, growth>>20)
		}
	}
	elections := l.terms() - term
	figures(t, "strangers' bytes to 8300 and 8301", nil, "messages=%d refused=%d elections=%d MB=%v", min(sent.Load(), total), refused.Load(), elections, grown)
	if elections > 0 {
		t.Errorf("%d elections", elections)
	}
	l.onlyOurs()
	probe.end()
	w.end()
	l.settle()
}

// message is one of a stranger's: a beginning that is known, or none, and noise.
func message(r *rand.Rand) []byte {
	m := slices.Clone(beginnings[r.IntN(len(beginnings))])
	n := r.IntN(maxMessage)
	if r.IntN(3) == 0 {
		n = r.IntN(32)
	}
	for range n {
		m = append(m, byte(r.Uint32()))
	}
	return m
}

// rss is the servers' memory in bytes.
func (l *lab) rss() []int64 {
	var all []int64
	for _, s := range l.servers {
		n, err := s.process().RSS()
		if err != nil {
			l.t.Error(err) // not Fatal: other goroutines ask too
		}
		all = append(all, n)
	}
	return all
}

// onlyOurs: nobody invented a member, a voter or a node.
func (l *lab) onlyOurs() {
	l.t.Helper()
	for _, a := range l.agents() {
		names, err := a.living(l.ctx)
		if err != nil || len(names) != len(l.agents()) {
			l.t.Errorf("%s: members %v, %v", a.name, names, err)
		}
	}
	var nodes []struct{ Node string }
	if err := l.any().get(l.ctx, "/v1/catalog/service/consul", &nodes); err != nil || len(nodes) != len(l.servers) {
		l.t.Errorf("the catalog's servers: %v, %v", nodes, err)
	}
}
