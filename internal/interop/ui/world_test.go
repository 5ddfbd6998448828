package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var binary string // the agent, built from this tree

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "consul")
	build := exec.Command("go", "build", "-o", binary, "./cmd/consul")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// program is something to run until the test ends.
type program struct {
	name, path string
	args       []string
}

// start starts a program; what it wrote is shown if the test fails.
func start(t *testing.T, p program) {
	t.Helper()
	logs, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr = logs, logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // it was killed
		if t.Failed() {
			text, err := os.ReadFile(logs.Name())
			t.Logf("log of %s: %v\n%s", p.name, err, tail(string(text)))
		}
	})
}

// tail is the end of a log, which is what a failure is about.
func tail(s string) string { return s[max(0, len(s)-8000):] }

// agent is one of the agents of a test's world.
type agent struct {
	t          *testing.T
	name, addr string
	secret     string
}

// newAgents starts agents, each at an address of 127/8 that nobody else uses, probably.
func newAgents(t *testing.T, secret, common string, each ...func(addrs []string) (name, configuration string)) []*agent {
	t.Helper()
	net := fmt.Sprintf("127.%d.%d.", 64+rand.IntN(64), 1+rand.IntN(254))
	var addrs []string
	for i := range each {
		addrs = append(addrs, fmt.Sprintf("%s%d", net, i+1))
	}
	var out []*agent
	for i, make := range each {
		name, text := make(addrs)
		dir := t.TempDir()
		file := filepath.Join(dir, "agent.hcl")
		text = fmt.Sprintf("%s\n%s\nnode_name = %q\nbind_addr = %q\nclient_addr = %q\ndata_dir = %q\nui_config { enabled = true }\n",
			common, text, name, addrs[i], addrs[i], filepath.Join(dir, "data"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, program{name: name, path: binary, args: []string{"agent", "-config-file=" + file}})
		out = append(out, &agent{t: t, name: name, addr: addrs[i], secret: secret})
	}
	return out
}

func (a *agent) url(path string) string { return "http://" + a.addr + ":8500" + path }

// ask performs a request of the API.
func (a *agent) ask(method, path, body string, out any) error {
	r, err := http.NewRequest(method, a.url(path), strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Consul-Token", a.secret)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %d %s", method, path, answer.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// put waits until a request is taken.
func (a *agent) put(path, body string) {
	a.t.Helper()
	poll(a.t, "PUT "+path, func() error { return a.ask(http.MethodPut, path, body, nil) })
}

// awaitLeader waits until a datacenter has a leader that this agent reaches.
func (a *agent) awaitLeader(dc string) {
	a.t.Helper()
	poll(a.t, "a leader of "+dc, func() error {
		var nodes []any
		if err := a.ask(http.MethodGet, "/v1/catalog/nodes?consistent&dc="+dc, "", &nodes); err != nil {
			return err
		}
		if len(nodes) == 0 {
			return fmt.Errorf("no nodes yet")
		}
		return nil
	})
}
