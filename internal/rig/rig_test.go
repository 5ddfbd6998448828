//go:build linux

package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) {
	if os.Getenv("RIG_TEST_VICTIM") != "" {
		victim()
		return
	}
	goleak.VerifyTestMain(m)
}

func testConfig(t *testing.T) Config {
	cfg := DefaultConfig()
	cfg.Dir = t.TempDir()
	return cfg
}

func TestSelfTest(t *testing.T) {
	if err := Available(); err != nil {
		t.Skipf("SKIPPED, nothing was tested: %v", err)
	}
	cfg := testConfig(t)
	findings, err := SelfTest(t.Context(), cfg, zaptest.NewLogger(t))
	for _, f := range findings {
		t.Log(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) != 12 {
		t.Errorf("%d findings", len(findings))
	}
	nothingLeft(t, cfg.Dir)
}

// nothingLeft: no mount, loop device or folder of a rig below dir.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	mounts, err := mountsBelow(dir)
	if err != nil || len(mounts) > 0 {
		t.Errorf("mounts left: %v, %v", mounts, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockSuffix {
			t.Errorf("left: %s", e.Name())
		}
	}
	out, err := exec.Command("losetup", "--list", "--noheadings", "--output", "BACK-FILE").Output()
	if err != nil || bytes.Contains(out, []byte(dir)) {
		t.Errorf("loop devices left: %s, %v", out, err)
	}
}

func TestManyHosts(t *testing.T) {
	r := ForTest(t, testConfig(t))
	var hosts []*Host
	for i := range 5 {
		h, err := r.Host(fmt.Sprint("h", i))
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	if _, err := r.Host("h0"); err == nil {
		t.Error("two hosts of one name")
	}
	if _, err := r.HostAt("x", hosts[0].Addr().String()); err == nil {
		t.Error("two hosts of one address")
	}
	if err := hosts[0].Readdress(hosts[1].Addr().String()); err == nil {
		t.Error("moved to an address that is taken")
	}
	stop, err := (&bench{a: hosts[3], b: hosts[4]}).serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	reaches := func(from, to *Host, limit time.Duration) bool { return (&bench{}).get(from, to, limit) == nil }
	n := r.Net()
	for _, c := range []struct {
		name   string
		do     func()
		h3, h4 bool // h0 reaches them
		h3h4   bool
		h1h3   bool
	}{
		{name: "clean", do: func() {}, h3: true, h4: true, h3h4: true, h1h3: true},
		{name: "isolated", do: func() { n.Isolate(hosts[0]) }, h3h4: true, h1h3: true},
		{name: "partition", do: func() { n.Partition(hosts[:2], hosts[2:]) }, h3h4: true},
		{name: "default cut", do: func() {
			n.SetDefault(Link{Cut: true})
			n.Set(hosts[0], hosts[3], Link{})
			n.Set(hosts[3], hosts[0], Link{})
		}, h3: true},
		{name: "one cut", do: func() { n.Cut(hosts[0], hosts[4]) }, h3: true, h3h4: true, h1h3: true},
	} {
		n.Reset()
		c.do()
		for _, p := range []struct {
			from, to *Host
			want     bool
		}{{hosts[0], hosts[3], c.h3}, {hosts[0], hosts[4], c.h4}, {hosts[3], hosts[4], c.h3h4}, {hosts[1], hosts[3], c.h1h3}} {
			limit := shortly
			if p.want {
				limit = surely
			}
			if got := reaches(p.from, p.to, limit); got != p.want {
				t.Errorf("%s: %s reaches %s: %v", c.name, p.from.Name(), p.to.Name(), got)
			}
		}
	}
	n.HealAll()
	if !reaches(hosts[0], hosts[4], surely) {
		t.Error("HealAll left a cut")
	}
}

func TestRun(t *testing.T) {
	r := ForTest(t, testConfig(t))
	h, err := r.HostAt("one", "10.7.7.7")
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.Run(t.Context(), "cat", "/proc/self/net/fib_trie")
	if err != nil || !bytes.Contains(out, []byte("10.7.7.7")) || bytes.Contains(out, []byte("10.1.0.")) {
		t.Errorf("the host's addresses: %s, %v", out, err)
	}
	p, err := h.Start("sh", "-c", "echo said; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.Wait(t.Context())); !ok || exit.ExitCode() != 3 {
		t.Errorf("exit: %v", p.Wait(t.Context()))
	}
	if got := string(p.Tail(100)); got != "said\n" {
		t.Errorf("wrote %q", got)
	}
	if err := errors.Join(p.Kill(), p.Stop()); err != nil {
		t.Errorf("signals to a process that has ended: %v", err)
	}
	if _, err := h.Start("/no/such/program"); err == nil {
		t.Error("started what is not there")
	}
	if _, err := h.DialContext(t.Context(), "tcp", "localhost:1"); err == nil {
		t.Error("dialed a name")
	}
}

// TestNames: a process knows the other hosts by name, with the address that they
// have now, and keeps no disk of theirs in use.
func TestNames(t *testing.T) {
	r := ForTest(t, testConfig(t))
	one, err := r.Host("one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.Host("two")
	if err != nil {
		t.Fatal(err)
	}
	disk, err := two.Disk(16)
	if err != nil {
		t.Fatal(err)
	}
	p, err := one.Start("sh", "-c", "while getent hosts two; do sleep 0.01; done")
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{two.Addr().String(), "10.3.3.3", "10.3.3.33", "10.3.3.4"} {
		if ip != two.Addr().String() {
			if err := two.Readdress(ip); err != nil {
				t.Fatal(err)
			}
		}
		if err := poll(t.Context(), func() bool { return strings.Contains(string(p.Tail(100)), ip+" ") || !p.Alive() }); err != nil || !p.Alive() {
			t.Fatalf("%s: %v, said %s", ip, err, p.Tail(200))
		}
	}
	for range 3 {
		if err := two.PowerCut(); err != nil {
			t.Fatalf("power cut while the other host's process lives: %v", err)
		}
	}
	if err := os.WriteFile(disk.Path()+"/alive", nil, 0o600); err != nil {
		t.Error(err)
	}
	if !p.Alive() {
		t.Error("the other host's process died")
	}
}

func TestSync(t *testing.T) {
	r := ForTest(t, testConfig(t))
	h, err := r.Host("h")
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/f"
	begin := time.Now()
	p, err := h.Start(SlowSync(200*time.Millisecond, "sh", "-c", "echo x >"+file+"; sync "+file+"; sync "+file+"; echo $$")...)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err != nil || time.Since(begin) < 400*time.Millisecond {
		t.Errorf("two slow syncs: %v after %v: %s", err, time.Since(begin), p.Tail(500))
	}
	if got := strings.TrimSpace(string(p.Tail(500))); got != fmt.Sprint(p.Pid()) {
		t.Errorf("the command's number is %s, ours %d", got, p.Pid())
	}
	for _, c := range []struct {
		nth  int
		want string
	}{{1, "failed\nfailed\n"}, {2, "failed\n"}} {
		// The count is per process, and each sync is one of its own.
		p, err = h.Start(FailSync(c.nth, "sh", "-c", "sync "+file+" 2>/dev/null || echo failed; sync "+file+" "+file+" 2>/dev/null || echo failed")...)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(t.Context()); err != nil || string(p.Tail(500)) != c.want {
			t.Errorf("sync %d fails: %v, %q", c.nth, err, p.Tail(500))
		}
	}
}

// victim is a test that is killed in the middle: a process with a child, a disk
// that is mounted and frozen.
func victim() {
	fail := func(err error) {
		if err != nil {
			fmt.Println("victim:", err)
			os.Exit(1)
		}
	}
	cfg := DefaultConfig()
	cfg.Dir = os.Getenv("RIG_TEST_VICTIM")
	r, err := New(cfg, zaptest.NewLogger(&testing.T{}))
	fail(err)
	fail(r.Open(context.Background()))
	h, err := r.Host("h")
	fail(err)
	d, err := h.Disk(16)
	fail(err)
	_, err = h.Start("sh", "-c", "sleep 1234 & sleep 1234")
	fail(err)
	fail(d.Freeze())
	_, err = h.Start("sh", "-c", "echo x > "+d.Path()+"/never")
	fail(err)
	fmt.Println("ready", r.Dir())
	select {}
}

// TestKilledRigIsSwept: the next rig removes all that a killed one left.
func TestKilledRigIsSwept(t *testing.T) {
	if err := Available(); err != nil {
		t.Skipf("SKIPPED, nothing was tested: %v", err)
	}
	cfg := testConfig(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "RIG_TEST_VICTIM="+cfg.Dir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := ""
	for !strings.Contains(said, "\n") || !strings.Contains(said, "ready") {
		buf := make([]byte, 4096)
		n, err := pipe.Read(buf)
		said += string(buf[:n])
		if err != nil {
			t.Fatalf("the victim said %q: %v", said, err)
		}
	}
	dir := strings.Fields(said[strings.Index(said, "ready"):])[1]

	// While it lives, it is left alone.
	if err := sweep(t.Context(), cfg.Dir, zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	if mounts, err := mountsBelow(dir); err != nil || len(mounts) != 2 { // the folder and its disk
		t.Fatalf("the living rig's mounts: %v, %v", mounts, err)
	}
	if pids, err := marked(dir); err != nil || len(pids) < 4 { // two sleeps, the writer, the guard of the freeze
		t.Fatalf("the living rig has the processes %v, %v", pids, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := sweep(t.Context(), cfg.Dir, zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	var left []int
	if err := errors.Join(err, poll(t.Context(), func() bool { left, err = marked(dir); return len(left) == 0 })); err != nil {
		t.Errorf("processes left: %v, %v", left, err)
	}
	nothingLeft(t, cfg.Dir)
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Config){
		"relative":  func(c *Config) { c.Dir = "here" },
		"elsewhere": func(c *Config) { c.Base = netip.MustParseAddr("192.168.0.0") },
		"tiny":      func(c *Config) { c.MTU = 100 },
		"huge":      func(c *Config) { c.MTU = 100_000 },
	} {
		cfg := DefaultConfig()
		spoil(&cfg)
		if _, err := New(cfg, zaptest.NewLogger(t)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestFateKeepsOrder: jitter delays packets and overtakes none.
func TestFateKeepsOrder(t *testing.T) {
	n := newNet(1)
	a, b := &Host{name: "a"}, &Host{name: "b"}
	n.SetDefault(Link{Delay: time.Second, Jitter: time.Second})
	var last time.Time
	now := time.Now()
	for range 100 {
		at, _, passes := n.fate(way{a, b}, 1, now)
		if !passes || at.Before(last) || at.Before(now.Add(time.Second)) || at.After(now.Add(2*time.Second)) {
			t.Fatalf("arrives %v after sending, %v after the one before", at.Sub(now), at.Sub(last))
		}
		last = at
	}
}
