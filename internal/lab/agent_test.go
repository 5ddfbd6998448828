//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"consul.internal/internal/rig"
)

const (
	httpPort = 8500
	dnsPort  = 8600
	rpcPort  = 8300
	serfPort = 8301
	// patience with one HTTP request: more than an agent holds a call that
	// waits for a leader (7 s).
	patience = 10 * time.Second
	// shortly is the patience with one that should be answered at once.
	shortly = time.Second
)

// agent is one consul process, or several one after the other, on a host.
type agent struct {
	lab    *lab
	name   string
	host   *rig.Host
	disk   *rig.Disk // nil: a folder
	dir    string
	server bool
	args   []string                      // beside those that all have
	wrap   func(args ...string) []string // how it is started, nil: plainly
	http   *http.Client

	mu       sync.Mutex
	proc     *rig.Process
	expected map[*rig.Process]bool // may end, or was made to
}

// start starts the process.
func (a *agent) start() {
	a.lab.t.Helper()
	role := []string{}
	if a.server {
		role = append(role, "-server")
	}
	args := append([]string{
		binary, "agent", "-node=" + a.name, "-bind=" + a.host.Addr().String(), "-client=127.0.0.1",
		"-data-dir=" + a.dir, "-log-level=info",
	}, append(role, a.args...)...)
	if a.wrap != nil {
		args = a.wrap(args...)
	}
	p, err := a.host.Start(args...)
	if err != nil {
		a.lab.t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.proc = p
}

// process is the present one, or the last.
func (a *agent) process() *rig.Process {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.proc
}

// alive tells whether the process runs.
func (a *agent) alive() bool {
	p := a.process()
	return p != nil && p.Alive()
}

// mayEnd tells that the present process ends by our hand.
func (a *agent) mayEnd() *rig.Process {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proc != nil {
		a.expected[a.proc] = true
	}
	return a.proc
}

// kill ends the process with SIGKILL.
func (a *agent) kill() {
	a.lab.t.Helper()
	if p := a.mayEnd(); p != nil {
		if err := p.Kill(); err != nil {
			a.lab.t.Fatal(err)
		}
	}
}

// cli runs a consul command on the agent's host.
func (a *agent) cli(ctx context.Context, args ...string) (string, error) {
	out, err := a.host.Run(ctx, append([]string{binary}, args...)...)
	return string(out), err
}

// errStatus is an answer other than 200.
var errStatus = errors.New("HTTP")

func (a *agent) do(ctx context.Context, method, path string, body any) ([]byte, http.Header, error) {
	var text []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		text = b
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			return nil, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", httpPort, path), bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return out, resp.Header, fmt.Errorf("%w %d: %s", errStatus, resp.StatusCode, bytes.TrimSpace(out))
	}
	return out, resp.Header, nil
}

// get reads JSON from the agent.
func (a *agent) get(ctx context.Context, path string, into any) error {
	out, _, err := a.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return fmt.Errorf("%s: GET %s: %w", a.name, path, err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("%s: GET %s: %w: %s", a.name, path, err, out)
	}
	return nil
}

// put sends JSON to the agent.
func (a *agent) put(ctx context.Context, path string, body any) error {
	if _, _, err := a.do(ctx, http.MethodPut, path, body); err != nil {
		return fmt.Errorf("%s: PUT %s: %w", a.name, path, err)
	}
	return nil
}

// leads tells whether the agent takes itself for the leader.
func (a *agent) leads(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, shortly)
	defer cancel()
	var at string
	return a.get(ctx, "/v1/status/leader", &at) == nil && at == a.host.At(rpcPort)
}

// voters are the IDs of the voters, and the leader's name, as the agent sees them.
func (a *agent) voters(ctx context.Context, query string) (voters []string, leader string, err error) {
	var cfg struct {
		Servers []struct {
			ID, Node      string
			Leader, Voter bool
		}
	}
	if err := a.get(ctx, "/v1/operator/raft/configuration"+query, &cfg); err != nil {
		return nil, "", err
	}
	for _, s := range cfg.Servers {
		if s.Voter {
			voters = append(voters, s.ID)
		}
		if s.Leader {
			leader = s.Node
		}
	}
	return voters, leader, nil
}

// living are the names of the members that the agent believes to be alive.
func (a *agent) living(ctx context.Context) ([]string, error) {
	var members []struct {
		Name   string
		Status int
	}
	if err := a.get(ctx, "/v1/agent/members", &members); err != nil {
		return nil, err
	}
	var names []string
	for _, m := range members {
		if m.Status == 1 { // serf: alive
			names = append(names, m.Name)
		}
	}
	return names, nil
}

// raft is what the agent says of its raft.
func (a *agent) raft(ctx context.Context) (map[string]string, error) {
	var self struct{ Stats map[string]map[string]string }
	if err := a.get(ctx, "/v1/agent/self", &self); err != nil {
		return nil, err
	}
	return self.Stats["raft"], nil
}

// id is the node ID that the agent has on its disk.
func (a *agent) id() string {
	text, err := os.ReadFile(filepath.Join(a.dir, "node-id"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// logs are all that the agent's processes wrote.
func (a *agent) logs() string {
	var b strings.Builder
	for _, p := range a.host.Processes() {
		text, err := os.ReadFile(p.Log())
		if err != nil {
			text = []byte(err.Error())
		}
		b.Write(text)
	}
	return b.String()
}

// clusterIDs are the IDs that the server's files name: one, when all is well.
func (a *agent) clusterIDs() []string {
	var ids []string
	for _, file := range []string{"cluster", "pledge", "members"} {
		text, err := os.ReadFile(filepath.Join(a.dir, "raft", file))
		if err != nil {
			continue
		}
		_, body, _ := bytes.Cut(text, []byte("\n"))
		var said struct {
			ID, ClusterID string
			Pledge        struct{ ClusterID string }
		}
		if json.Unmarshal(body, &said) != nil {
			continue
		}
		for _, id := range []string{said.ID, said.ClusterID, said.Pledge.ClusterID} {
			if id != "" && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// wipe makes the agent's folder as new.
func (a *agent) wipe() error {
	if a.disk == nil {
		return os.RemoveAll(a.dir)
	}
	entries, err := os.ReadDir(a.dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(a.dir, e.Name())))
	}
	return err
}

// slowFor is what an fsync takes more on a slow disk.
const slowFor = 200 * time.Millisecond

func slowSync(args ...string) []string { return rig.SlowSync(slowFor, args...) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
