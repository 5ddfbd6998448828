package daemon_test

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"consul.internal/internal/tlsx"
	"github.com/hashicorp/consul/api"
)

var hostileFull = flag.Bool("hostile.full", false, "let TestHostile have its full size, and hold times against their bounds")

// siege is an agent, and one who only wants to be served.
type siege struct {
	t *testing.T
	p *proc
}

// attackers are those who do not. They have a process of their own: thousands of
// goroutines, beside which who only wants to be served would wait for himself.
type attackers struct {
	addr string // the agent's
	wg   sync.WaitGroup
	next atomic.Uint32 // for their addresses
}

// attackVariable has in the attackers' process what they do: the number of an attack,
// of connections, and the agent's address.
const attackVariable = "HOSTILE_TEST_ATTACK"

func TestMain(m *testing.M) {
	spec := os.Getenv(attackVariable)
	if spec == "" {
		os.Exit(m.Run())
	}
	var kind, n int
	var a attackers
	if _, err := fmt.Sscan(spec, &kind, &n, &a.addr); err != nil {
		fmt.Fprintf(os.Stderr, "%s=%q: %v\n", attackVariable, spec, err)
		os.Exit(2)
	}
	ctx, stop := context.WithCancel(context.Background())
	a.keep(ctx, n, attacks()[kind].port, attacks()[kind].hold)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test has seen enough, or is gone
	stop()
	a.wg.Wait()
}

// attack begins one, by so many connections, and returns how to end it.
func (s *siege) attack(kind, n int) (end func()) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", attackVariable, kind, n, s.p.addr)), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		_ = in.Close() // that they see
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("the attackers: %v", err)
		}
	}
}

// stranger dials from one of many addresses, so that no limit of one address helps.
func (a *attackers) stranger(ctx context.Context, port string) (net.Conn, error) {
	n := a.next.Add(1) / 80
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 200, byte(n>>8), byte(n))}, Timeout: 5 * time.Second}
	return d.DialContext(ctx, "tcp", a.addr+port)
}

// keep holds n connections of a kind until ctx ends. They come within a second, and
// each that ends is made anew, though not more often than every second.
func (a *attackers) keep(ctx context.Context, n int, port string, hold func(context.Context, net.Conn)) {
	for i := range n {
		a.wg.Go(func() {
			first := time.NewTimer(time.Second * time.Duration(i) / time.Duration(n))
			defer first.Stop()
			select {
			case <-first.C:
			case <-ctx.Done():
			}
			pause := time.NewTicker(time.Second)
			defer pause.Stop()
			for ctx.Err() == nil {
				if c, err := a.stranger(ctx, port); err == nil {
					stop := context.AfterFunc(ctx, func() { _ = c.Close() })
					hold(ctx, c)
					stop()
					_ = c.Close() // whatever it was for has happened
				}
				select {
				case <-pause.C:
				case <-ctx.Done():
				}
			}
		})
	}
}

// drip sends text byte by byte, as slowly as a client may who does it on purpose.
func drip(text string) func(context.Context, net.Conn) {
	return func(ctx context.Context, c net.Conn) {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for i := 0; ; i++ {
			if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// say sends text and waits for the other side to end it.
func say(text string) func(context.Context, net.Conn) {
	return func(_ context.Context, c net.Conn) {
		if _, err := io.WriteString(c, text); err == nil {
			_, _ = io.Copy(io.Discard, c) // until either side has enough
		}
	}
}

// body sends 100 MB in one request, in pieces of which nobody knows how many follow.
func body(_ context.Context, c net.Conn) {
	if _, err := io.WriteString(c, "PUT /v1/kv/flood HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
		return
	}
	piece := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("b", 64<<10))
	for range 100 << 20 / (64 << 10) {
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}
	}
}

// handshake begins TLS and goes.
func handshake(ctx context.Context, c net.Conn) {
	_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) // who it is does not matter
}

// figures of an agent under attack.
type figures struct {
	served, failed int
	p99            time.Duration
	rss, files     int // highest, in KiB and in number
}

// measure asks as a normal client for as long as told, and looks at the process.
func (s *siege) measure(what string, length time.Duration) figures {
	s.t.Helper()
	var f figures
	var took []time.Duration
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	fresh := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(c *http.Client, method, path string) {
		start := time.Now()
		req, err := http.NewRequest(method, "http://"+s.p.addr+":8500"+path, strings.NewReader("v"))
		if err != nil {
			s.t.Fatal(err)
		}
		r, err := c.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
		}
		if err != nil || r.StatusCode != http.StatusOK {
			f.failed++
			s.t.Logf("%s: %s %s: %v %v", what, method, path, r, err)
		} else {
			f.served++
		}
		took = append(took, time.Since(start))
	}
	tick, end := time.NewTicker(20*time.Millisecond), time.After(length)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-end:
			slices.Sort(took)
			f.p99 = took[len(took)*99/100]
			s.t.Logf("%-22s %d served, %d failed, p99 %v, RSS %d MB, %d files", what, f.served, f.failed, f.p99.Round(100*time.Microsecond), f.rss>>10, f.files)
			return f
		case <-tick.C:
		}
		ask(client, "GET", "/v1/catalog/service/consul")
		ask(fresh, "GET", "/v1/kv/normal")
		if i%5 == 0 {
			ask(client, "PUT", "/v1/kv/normal")
		}
		f.rss = max(f.rss, rss(s.t, s.p.cmd.Process.Pid))
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.p.cmd.Process.Pid))
		if err != nil {
			s.t.Fatal(err)
		}
		f.files = max(f.files, len(open))
	}
}

// maxFiles is how many files a process may open.
func maxFiles(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no limit on open files")
	return 0
}

// attack is what one kind of attackers does.
type attack struct {
	name string
	part int // of all connections there are so many times fewer
	port string
	hold func(context.Context, net.Conn)
}

func attacks() []attack {
	header := "GET /v1/status/leader HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "
	large := header + strings.Repeat("h", 64<<10)
	return []attack{
		{"idle on 8500", 1, ":8500", say("")},
		{"idle after a request", 1, ":8500", say("GET /v1/status/leader HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")},
		{"idle on 8300", 1, ":8300", say("")},
		{"slowloris on 8500", 1, ":8500", drip(header)},
		{"slowloris on 8300", 1, ":8300", drip("\x16\x03\x01\x02\x00\x01")},
		{"slow bodies", 10, ":8500", say("PUT /v1/kv/slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat("s", 1000))},
		{"unfinished headers", 10, ":8500", say(large)},
		{"64 KiB headers", 100, ":8500", say(large + "\r\n\r\n")},
		{"100 MB bodies", 100, ":8500", body},
		{"handshakes on 8501", 100, ":8501", handshake},
		{"handshakes on 8300", 100, ":8300", handshake},
	}
}

// TestHostile besieges a real agent from thousands of addresses, a kind of attack
// at a time: whoever only wants to be served is, memory stays within 200 MB and
// files within what the process may open.
func TestHostile(t *testing.T) {
	bin, dir, addr := build(t), t.TempDir(), freeAddr(t)
	ca, caPEM := authority(t)
	caFile := write(t, filepath.Join(dir, "ca.pem"), string(caPEM))
	mint(t, dir, ca, tlsx.Server, "dc1", addr)
	p := spawn(t, bin, addr, dir, "-hcl="+fmt.Sprintf(`log_level = "WARN" tls { defaults { ca_file = %q cert_file = %q key_file = %q } } ports { https = 8501 }`,
		caFile, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")))
	s := &siege{t: t, p: p}
	n, length := 1500, time.Second
	if *hostileFull {
		n, length = 10_000, 20*time.Second
	}
	p.await(t, "a leader", func() bool {
		_, err := p.register("web")
		return err == nil
	})
	limit := maxFiles(t, p.cmd.Process.Pid)
	if _, err := p.client.KV().Put(&api.KVPair{Key: "normal", Value: []byte("v")}, nil); err != nil {
		t.Fatal(err)
	}
	s.measure("in peace", length)
	for kind, attack := range attacks() {
		end := s.attack(kind, n/attack.part)
		f := s.measure(attack.name, length)
		end()
		if f.failed > 0 || f.served == 0 {
			t.Errorf("%s: %d requests failed, %d were served", attack.name, f.failed, f.served)
		}
		if f.rss > 200<<10 {
			t.Errorf("%s: %d MB resident", attack.name, f.rss>>10)
		}
		if f.files > limit*3/4 {
			t.Errorf("%s: %d of %d files open", attack.name, f.files, limit)
		}
		if *hostileFull && f.p99 > 100*time.Millisecond {
			t.Errorf("%s: p99 %v", attack.name, f.p99)
		}
	}
	if text, err := os.ReadFile(p.log.Name()); err != nil || strings.Contains(string(text), "too many open files") {
		t.Errorf("files ran out: %v", err)
	} else if lines := strings.Count(string(text), "\n"); lines > 500 {
		t.Errorf("%d lines of log", lines)
	}
	if _, err := p.register("after"); err != nil {
		t.Errorf("after the siege: %v", err)
	}
}
