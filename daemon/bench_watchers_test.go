package daemon_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// manyWatchers wait for the one key.
	manyWatchers = 2000
	// watcherRounds are changes of it; the two servers take turns.
	watcherRounds = 9
)

// BenchmarkWatchers has 2,000 blocked queries on one key of a real server, and
// reports what memory each costs while nothing happens, how long after the writer's
// answer the last of them has its own, and the CPU of each answer. The floor is the
// same on a bare http.Server, in this process, whose handler waits for a channel. The
// two take turns: the speed of a shared machine changes within seconds.
func BenchmarkWatchers(b *testing.B) {
	for range b.N {
		watchers(b)
	}
}

func watchers(b *testing.B) {
	addr := freeAddr(b)
	p := led(b, build(b), addr, b.TempDir())
	defer p.kill(b)
	real := &watched{addr: addr + ":8500", pid: p.cmd.Process.Pid}
	bare := bareWatched(b)
	real.dial(b)
	bare.dial(b)
	for round := range watcherRounds {
		bare.round(b, round)
		real.round(b, round)
	}
	real.report(b, "")
	bare.report(b, "floor-")
	b.ReportMetric(float64(real.served.Microseconds())/(watcherRounds*manyWatchers), "CPU-us/answer")
}

// watched is a server with a key that all connections wait for.
type watched struct {
	addr   string
	pid    int
	conns  []net.Conn
	writer http.Client

	memory int             // KiB in all, for the first queries
	woken  []time.Duration // each round's last
	served time.Duration   // CPU of its process
}

func (w *watched) dial(b *testing.B) {
	for range manyWatchers {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		w.conns = append(w.conns, c)
	}
}

// do makes a request for the key, and gives its index as the answer has it.
func (w *watched) do(b *testing.B, method, value string) (index string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, "http://"+w.addr+"/v1/kv/watched", strings.NewReader(value))
	if err != nil {
		b.Fatal(err)
	}
	resp, err := w.writer.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status, err)
	}
	return resp.Header.Get("X-Consul-Index")
}

// bareWatched is what net/http alone needs.
func bareWatched(b *testing.B) *watched {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	changed := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		wait := changed
		if r.Method == http.MethodPut {
			close(changed)
			changed = make(chan struct{})
		}
		mu.Unlock()
		if r.URL.RawQuery != "" {
			select {
			case <-wait:
			case <-r.Context().Done():
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `[{"LockIndex":0,"Key":"watched","Flags":0,"Value":"Y2hhbmdlZDA=","CreateIndex":13,"ModifyIndex":17}]`)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	b.Cleanup(func() {
		_ = server.Close()
		wg.Wait()
	})
	return &watched{addr: l.Addr().String(), pid: os.Getpid()}
}

// round lets all wait, and wakes them.
func (w *watched) round(b *testing.B, round int) {
	w.do(b, http.MethodPut, fmt.Sprint(round))
	index := w.do(b, http.MethodGet, "")
	if round == 0 {
		debug.FreeOSMemory() // of this process
		idle(b, w.pid)
		w.memory = -rss(b, w.pid)
	}
	for _, c := range w.conns {
		if _, err := fmt.Fprintf(c, "GET /v1/kv/watched?index=%s&wait=5m HTTP/1.1\r\nHost: consul\r\n\r\n", index); err != nil {
			b.Fatal(err)
		}
	}
	idle(b, w.pid) // all wait
	if round == 0 {
		w.memory += rss(b, w.pid)
	}
	ends := make([]time.Time, len(w.conns))
	served := cpuTime(b, w.pid)
	var wg sync.WaitGroup
	for i, c := range w.conns {
		wg.Go(func() {
			if err := answered(c); err != nil {
				b.Error(err)
			}
			ends[i] = time.Now()
		})
	}
	runtime.Gosched()
	w.do(b, http.MethodPut, "changed"+fmt.Sprint(round))
	changed := time.Now()
	wg.Wait()
	w.served += cpuTime(b, w.pid) - served
	w.woken = append(w.woken, slices.MaxFunc(ends, time.Time.Compare).Sub(changed))
}

// answered reads one answer.
func answered(c net.Conn) error {
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "watched")) {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return err
}

func (w *watched) report(b *testing.B, prefix string) {
	slices.Sort(w.woken)
	b.ReportMetric(float64(w.memory)/manyWatchers, prefix+"KiB/watcher")
	b.ReportMetric(float64(w.woken[len(w.woken)/2].Microseconds())/1000, prefix+"last-woken-ms(median)")
	b.ReportMetric(float64(w.woken[len(w.woken)-1].Microseconds())/1000, prefix+"last-woken-ms(worst)")
}

// idle waits until a process does next to nothing.
func idle(b *testing.B, pid int) {
	b.Helper()
	for before := time.Duration(-1); ; {
		used := cpuTime(b, pid)
		if used-before <= 10*time.Millisecond && before >= 0 {
			return
		}
		before = used
		<-time.After(300 * time.Millisecond)
	}
}
