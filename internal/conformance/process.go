package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// firstPort lies below the ephemeral range, so that no outgoing connection
	// of another process holds it, and is used by no vector.
	firstPort = 27310
	// portsPerAgent leaves room between the agents of a fixture.
	portsPerAgent = 10
	// readyTimeout is far above a healthy start (under a second) and keeps a
	// broken build from eating the time of the whole run.
	readyTimeout = 15 * time.Second
	// stopTimeout is how long an agent may take to end after SIGTERM.
	stopTimeout = 20 * time.Second
	// pollInterval is the pause between two looks at something awaited.
	pollInterval = 50 * time.Millisecond
	// logTail is how much of an agent's log a failure shows.
	logTail = 30
)

// Addresses hands out loopback addresses, each once. The second octet comes
// from the process id, so that two runs on one machine do not meet.
type Addresses struct{ n atomic.Uint32 }

// Next returns an unused address out of 127.0.0.0/8; never one of 127.0/16,
// where the vectors have addresses with a meaning.
func (a *Addresses) Next() string {
	n := a.n.Add(1) - 1
	return fmt.Sprintf("127.%d.%d.%d", 20+os.Getpid()%200, n/250, n%250+1)
}

// Build compiles the real binary into dir and returns its path.
func Build(ctx context.Context, dir string, flags ...string) (string, error) {
	bin := filepath.Join(dir, "consul")
	args := append(append([]string{"build"}, flags...), "-o", bin, "consul.internal/cmd/consul")
	cmd := exec.CommandContext(ctx, "go", args...)
	if len(flags) == 0 {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/consul: %w\n%s", err, out)
	}
	return bin, nil
}

// Agent is one real agent process.
type Agent struct {
	Name, IP   string
	Dir        string // folder of this agent
	ConfigFile string
	Args       []string // all arguments, "agent" included
	Token      string
	ports      map[string]int
	bin        string
	work       string // working directory of the process

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	wg     sync.WaitGroup
}

// newAgent lends an address and ports and makes the agent's folder.
func newAgent(bin, name, ip, dir string, index int) (*Agent, error) {
	a := &Agent{Name: name, IP: ip, Dir: filepath.Join(dir, name), bin: bin, work: dir, ports: map[string]int{}}
	for i, p := range []string{"dns", "http", "server", "serf_lan", "serf_wan", "grpc", "grpc_tls", "https"} {
		a.ports[p] = firstPort + index*portsPerAgent + i
	}
	a.ConfigFile = filepath.Join(a.Dir, "config.json")
	return a, os.MkdirAll(a.Dir, 0o700)
}

// Addr returns ip:port of one of the agent's doors.
func (a *Agent) Addr(door string) string { return net.JoinHostPort(a.IP, strconv.Itoa(a.ports[door])) }

// WriteConfig writes the agent's configuration file.
func (a *Agent) WriteConfig(cfg map[string]any) error {
	raw, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(a.ConfigFile, raw, 0o600)
}

// Start runs the process; its output goes to agent.log in its folder.
func (a *Agent) Start() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(a.Dir, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(a.bin, a.Args...)
	cmd.Dir = a.work
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"HOME=" + a.work, "PATH=" + os.Getenv("PATH")}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	exited := make(chan struct{})
	a.cmd, a.exited = cmd, exited
	a.wg.Go(func() { // Signal waits for it
		defer close(exited)
		_ = cmd.Wait() // the exit code of an agent is judged by CLI steps only
		_ = log.Close()
	})
	return nil
}

// Signal sends sig and waits until the process is gone.
func (a *Agent) Signal(sig syscall.Signal) error {
	a.mu.Lock()
	cmd, exited := a.cmd, a.exited
	a.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-exited:
		return nil
	case <-time.After(stopTimeout):
	}
	_ = cmd.Process.Kill()
	<-exited
	return fmt.Errorf("agent %s did not end within %v after %v", a.Name, stopTimeout, sig)
}

// gone says whether the process has ended.
func (a *Agent) gone() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.exited:
		return true
	default:
		return false
	}
}

// Tail returns the last lines of the agent's log.
func (a *Agent) Tail() string {
	raw, err := os.ReadFile(filepath.Join(a.Dir, "agent.log"))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-logTail):], "\n")
}

// crash returns what the agent's log tells of a panic or a data race, or "": an
// agent may answer well and still be broken.
func (a *Agent) crash() string {
	raw, err := os.ReadFile(filepath.Join(a.Dir, "agent.log"))
	if err != nil {
		return ""
	}
	for _, sign := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: ", "runtime error: "} {
		if i := strings.Index(string(raw), sign); i >= 0 {
			return "agent " + a.Name + ":\n" + indent(clip(string(raw[i:])))
		}
	}
	return ""
}

// reportCrashes makes a failure of every crash among agents that have ended.
func (r *Runner) reportCrashes(suite, area, file string, agents []*Agent) {
	for _, a := range agents {
		if text := a.crash(); text != "" {
			r.Report.Add(Result{Suite: suite, Area: area, Name: file + "/crash", Owner: built, Outcome: Failed, Detail: text})
		}
	}
}

// await polls until ok holds, the process is gone, or the time is over.
func (a *Agent) await(ctx context.Context, limit time.Duration, ok func() bool) error {
	deadline := time.Now().Add(limit)
	for !ok() {
		if a.gone() {
			return fmt.Errorf("agent %s ended while starting", a.Name)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("agent %s was not ready within %v", a.Name, limit)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// get fetches a path of the agent and decodes JSON into out (nil: not).
func (a *Agent) get(ctx context.Context, client *http.Client, path, token string, out any) (int, []byte, error) {
	return a.do(ctx, client, http.MethodGet, path, token, nil, out)
}

func (a *Agent) do(ctx context.Context, client *http.Client, method, path, token string, body []byte, out any) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second) // no setup request takes longer
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.Addr("http")+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, raw, err
	}
	if out != nil && res.StatusCode == http.StatusOK {
		err = json.Unmarshal(raw, out)
	}
	return res.StatusCode, raw, err
}

// newHTTPClient follows the formats: no redirects, no compression of its own.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 8},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
