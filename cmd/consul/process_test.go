package main

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary run as the program itself.
const asProgram = "CONSUL_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what takes a second at most.
const patience = 30 * time.Second

// buffer is a writer that may be read while a process writes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// child is the program as a process with a service manager's socket.
type child struct {
	t              *testing.T
	cmd            *exec.Cmd
	notify         *net.UnixConn
	stdout, stderr buffer
	addr           string // of its HTTP door
	exited         chan struct{}
}

func startChild(t *testing.T, args ...string) *child {
	t.Helper()
	c := &child{t: t, exited: make(chan struct{})}
	socket := filepath.Join(t.TempDir(), "n")
	var err error
	if c.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.notify.Close() })
	c.cmd = exec.Command(os.Args[0], args...)
	c.cmd.Env = []string{asProgram + "=1", "NOTIFY_SOCKET=" + socket, "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait() // wait looks at the exit code
		close(c.exited)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.exited
	})
	return c
}

// freePorts finds ports of 127.0.0.1 that nobody listens on.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, port)
	}
	return out
}

// startDev starts a server in memory with a configuration file.
func startDev(t *testing.T, config string, args ...string) (*child, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.hcl")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := freePorts(t, 5)
	c := startChild(t, append([]string{"agent", "-dev", "-node=n", "-bind=127.0.0.1", "-client=127.0.0.1", "-config-file=" + file,
		"-http-port=" + p[0], "-dns-port=" + p[1], "-server-port=" + p[2], "-serf-lan-port=" + p[3], "-serf-wan-port=" + p[4], "-grpc-port=-1"}, args...)...)
	c.addr = "127.0.0.1:" + p[0]
	return c, file
}

// state waits for the next message to the service manager.
func (c *child) state() string {
	c.t.Helper()
	if err := c.notify.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.notify.Read(buf)
	if err != nil {
		c.t.Fatalf("no word to the service manager: %v\nstdout:\n%s\nstderr:\n%s", err, c.stdout.String(), c.stderr.String())
	}
	return string(buf[:n])
}

func (c *child) signal(sig os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

// wait returns the exit code.
func (c *child) wait() int {
	c.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.t.Fatalf("the process did not end\nstdout:\n%s", c.stdout.String())
	}
	return c.cmd.ProcessState.ExitCode()
}

func (c *child) get(path string) string {
	c.t.Helper()
	res, err := http.Get("http://" + c.addr + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		c.t.Fatal(err)
	}
	return b.String()
}

func TestServiceManagerSeesTheStates(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	c, file := startDev(t, `service { name = "one" }`, "-pid-file="+pid)
	if got := c.state(); got != stateReady {
		t.Fatalf("first state %q", got)
	}
	if _, err := os.Stat(pid); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte(`service { name = "two" }`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.signal(syscall.SIGHUP)
	if got := c.state(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("state %q after SIGHUP", got)
	}
	if got := c.state(); got != stateReady {
		t.Errorf("state %q after the reload", got)
	}
	if got := c.get("/v1/agent/services"); strings.Contains(got, `"one"`) || !strings.Contains(got, `"two"`) {
		t.Errorf("services after the reload: %s", got)
	}

	// A broken file leaves everything as it is and says where the mistake is.
	if err := os.WriteFile(file, []byte("service { name = \"three\" }\nnonsense = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.signal(syscall.SIGHUP)
	if a, b := c.state(), c.state(); !strings.HasPrefix(a, "RELOADING=1") || b != stateReady {
		t.Errorf("states %q and %q after a broken reload", a, b)
	}
	if got := c.get("/v1/agent/services"); !strings.Contains(got, `"two"`) {
		t.Errorf("services after a broken reload: %s", got)
	}

	c.signal(syscall.SIGTERM)
	if got := c.state(); got != stateStopping {
		t.Errorf("state %q after SIGTERM", got)
	}
	if code := c.wait(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if _, err := os.Stat(pid); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file is still there: %v", err)
	}
	if out := c.stdout.String(); !strings.Contains(out, "agent.hcl:2:1") || !strings.Contains(out, "nonsense") {
		t.Errorf("the log does not name the mistake:\n%s", out)
	}
}

func TestInterruptedServerEndsWithOne(t *testing.T) {
	c, _ := startDev(t, "")
	if got := c.state(); got != stateReady {
		t.Fatalf("first state %q", got)
	}
	c.signal(os.Interrupt)
	if code := c.wait(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	out := c.stdout.String()
	if !strings.HasPrefix(out, "==> Starting Consul agent...\n") || !strings.Contains(out, "\n==> Log data will now stream in as it occurs:\n") ||
		!strings.Contains(out, "Caught: signal=interrupt") {
		t.Errorf("output:\n%s", out)
	}
}

func TestLeaveEndsTheAgentWithZero(t *testing.T) {
	c, _ := startDev(t, "skip_leave_on_interrupt = false")
	if got := c.state(); got != stateReady {
		t.Fatalf("first state %q", got)
	}
	if code, out, errs := execute(t, "leave", "-http-addr="+c.addr); code != 0 || out != "Graceful leave complete\n" {
		t.Errorf("leave: exit %d, %q, %q", code, out, errs)
	}
	if got := c.state(); got != stateStopping {
		t.Errorf("state %q after the leave", got)
	}
	if code := c.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestReloadCommandShowsTheMistake(t *testing.T) {
	c, file := startDev(t, "")
	if got := c.state(); got != stateReady {
		t.Fatalf("first state %q", got)
	}
	if code, out, _ := execute(t, "reload", "-http-addr="+c.addr); code != 0 || out != "Configuration reload triggered\n" {
		t.Errorf("reload: exit %d, %q", code, out)
	}
	if err := os.WriteFile(file, []byte("serivce { name = \"x\" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := execute(t, "reload", "-http-addr="+c.addr)
	if code != 1 || !strings.Contains(errs, "agent.hcl:1:1") || !strings.Contains(errs, "serivce") {
		t.Errorf("reload of a broken file: exit %d, %q", code, errs)
	}
}

func TestAgentThatCannotStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, taken, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"port taken", []string{"-http-port=" + taken}, []string{"==> ", taken, "address already in use"}},
		{"no log folder", []string{"-log-file=/nonexistent/dir/"}, []string{"==> Failed to setup logging: open /nonexistent/dir/consul.log: no such file or directory"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := startDev(t, "", tt.args...)
			if code := c.wait(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			out := c.stderr.String()
			if slices.ContainsFunc(tt.want, func(w string) bool { return !strings.Contains(out, w) }) {
				t.Errorf("stderr is %q, want %q", out, tt.want)
			}
		})
	}
}
