package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// eventuallyPause is the pause between two tries, as the format says.
	eventuallyPause = 250 * time.Millisecond
	// backgroundHead is how long a background request gets to be in place.
	backgroundHead = 150 * time.Millisecond
)

// script is one running HTTP or command line file.
type scriptRun struct {
	*Runner
	s       *Script
	suite   string
	dir     string
	vars    *Vars
	agents  map[string]*Agent
	list    []*Agent
	specs   map[string]*ScriptAgent
	configs map[string]map[string]any
	client  *http.Client
	waiting map[string]chan answer
	wg      sync.WaitGroup // background requests
	broken  string
}

// answer is what a step observed.
type answer struct {
	status         int
	header         http.Header
	body           []byte
	stdout, stderr string
	exit           int
	elapsed        time.Duration
	err            error
}

// RunScript runs one file and records a result for every judged step.
func (r *Runner) RunScript(ctx context.Context, s *Script) {
	x := &scriptRun{
		Runner: r, s: s, suite: s.Kind, vars: NewVars(), agents: map[string]*Agent{}, specs: map[string]*ScriptAgent{},
		configs: map[string]map[string]any{}, client: newHTTPClient(), waiting: map[string]chan answer{},
	}
	defer x.close()
	if err := x.open(ctx); err != nil {
		x.broken = err.Error()
	}
	for i := range s.Steps {
		x.step(ctx, i, &s.Steps[i])
	}
}

func (x *scriptRun) close() {
	for _, a := range x.list {
		_ = a.Signal(syscall.SIGKILL) // nothing of a script is kept
	}
	x.reportCrashes(x.suite, x.s.Area, x.s.Name, x.list)
	x.client.CloseIdleConnections()
	x.wg.Wait() // background requests end, as their agents are gone
}

func (x *scriptRun) open(ctx context.Context) error {
	dir, err := os.MkdirTemp(x.Temp, x.s.Kind+"-"+x.s.Name+"-")
	if err != nil {
		return err
	}
	x.dir = dir
	x.vars.Set("dir", dir)
	if err := os.Mkdir(filepath.Join(dir, "work"), 0o700); err != nil {
		return err
	}
	names := []string{}
	for i := range x.s.Agents {
		names = append(names, x.s.Agents[i].Name)
		x.specs[x.s.Agents[i].Name] = &x.s.Agents[i]
	}
	if len(names) == 0 {
		names = []string{"a"} // cases without agents still use the address and ports of one
	}
	for i, name := range names {
		a, err := newAgent(x.Bin, name, x.Addresses.Next(), dir, i)
		if err != nil {
			return err
		}
		x.agents[name], x.list = a, append(x.list, a)
		x.vars.Set(name+".dir", a.Dir)
		x.vars.Set(name+".ip", a.IP)
		for port, n := range a.ports {
			x.vars.SetPort(name+"."+port, n)
		}
	}
	for i := range x.s.Agents {
		spec := &x.s.Agents[i]
		a := x.agents[spec.Name]
		x.configs[spec.Name] = x.vars.ExpandMap(spec.Config)
		if err := a.WriteConfig(x.configs[spec.Name]); err != nil {
			return err
		}
		a.Args = append([]string{"agent", "-config-file=" + a.ConfigFile}, x.vars.ExpandAll(spec.Args)...)
		a.Token = firstToken(x.configs[spec.Name])
		if !spec.Manual {
			if err := x.start(ctx, a, spec); err != nil {
				return err
			}
		}
	}
	return nil
}

// firstToken finds the token that the configuration gives a right to read with.
func firstToken(config map[string]any) string {
	acl, _ := config["acl"].(map[string]any)
	tokens, _ := acl["tokens"].(map[string]any)
	for _, name := range []string{"initial_management", "agent", "default"} {
		if t, _ := tokens[name].(string); t != "" {
			return t
		}
	}
	return ""
}

func (x *scriptRun) start(ctx context.Context, a *Agent, spec *ScriptAgent) error {
	if err := a.Start(); err != nil {
		return err
	}
	if spec.NoWait {
		return nil
	}
	if err := a.await(ctx, readyTimeout, func() bool {
		status, body, err := a.get(ctx, x.client, "/v1/status/leader", a.Token, nil)
		return err == nil && status == http.StatusOK && strings.Contains(string(body), ":")
	}); err != nil {
		return err
	}
	config := x.configs[spec.Name]
	acl, _ := config["acl"].(map[string]any)
	enabled, _ := acl["enabled"].(bool)
	limit := 5 * time.Second // the format's bounds on waiting for the own node
	if enabled {
		limit = 2 * time.Second
	}
	if enabled && acl["default_policy"] == "deny" && a.Token == "" {
		if err := sleep(ctx, 1200*time.Millisecond); err != nil {
			return err
		}
	} else {
		node, _ := config["node_name"].(string)
		deadline := time.Now().Add(limit)
		for !x.registered(ctx, a, node) && time.Now().Before(deadline) {
			if err := sleep(ctx, pollInterval); err != nil {
				return err
			}
		}
	}
	return sleep(ctx, 150*time.Millisecond)
}

func (x *scriptRun) registered(ctx context.Context, a *Agent, node string) bool {
	var out struct {
		Node struct{ TaggedAddresses map[string]string }
	}
	status, _, err := a.get(ctx, x.client, "/v1/catalog/node/"+node, a.Token, &out)
	return err == nil && status == http.StatusOK && out.Node.TaggedAddresses != nil
}

// step carries out one step; judged ones get a result of their own.
func (x *scriptRun) step(ctx context.Context, i int, st *Step) {
	judged := st.Expect != nil && (st.Do == "http" || st.Do == "cli" || st.Do == "await") && st.Background == ""
	name := fmt.Sprintf("%s/%d/%s", x.s.Name, i+1, st.Name)
	if x.broken == "" {
		if !judged {
			if err := x.act(ctx, st); err != nil {
				x.broken = fmt.Sprintf("step %d (%s) could not be carried out: %v", i+1, st.Name, err)
			}
			return
		}
	} else if !judged {
		return
	}
	res := Result{Suite: x.suite, Area: x.s.Area, Name: name, Owner: StepOwner(x.s, st)}
	dev := x.Deviations.Find(x.suite, x.s.Name, st.Name)
	diff := x.broken
	if diff == "" {
		diff = x.judge(ctx, st, dev)
	}
	switch {
	case diff == "" && dev != nil:
		res.Outcome, res.Reason = Deviates, dev.Why
	case diff == "":
		res.Outcome = Passed
	case owed(res.Owner):
		res.Outcome, res.Detail = Failed, withLogs(diff, x.list)
	default:
		res.Outcome, res.Detail, res.Reason = NotYet, diff, "issue "+res.Owner
	}
	x.Report.Add(res)
}

// act carries out a step that has no answer to be judged.
func (x *scriptRun) act(ctx context.Context, st *Step) error {
	a := x.agentOf(st)
	switch st.Do {
	case "sleep":
		return sleep(ctx, time.Duration(st.SleepMS)*time.Millisecond)
	case "http", "cli":
		if st.Background == "" {
			_ = x.perform(ctx, st) // nothing is expected of it
			return nil
		}
		ch := make(chan answer, 1)
		x.waiting[st.Background] = ch
		x.wg.Go(func() {
			ch <- x.perform(ctx, st)
			close(ch)
		})
		return sleep(ctx, backgroundHead)
	case "config":
		if a == nil {
			return errors.New("no agent")
		}
		x.configs[a.Name] = mergeConfig(x.configs[a.Name], x.vars.ExpandMap(st.Config))
		return a.WriteConfig(x.configs[a.Name])
	}
	if a == nil {
		return errors.New("no agent")
	}
	switch st.Do {
	case "start":
		return x.start(ctx, a, x.specs[a.Name])
	case "restart":
		if err := a.Signal(syscall.SIGKILL); err != nil {
			return err
		}
		return x.start(ctx, a, x.specs[a.Name])
	case "stop":
		return a.Signal(syscall.SIGTERM)
	case "kill":
		return a.Signal(syscall.SIGKILL)
	}
	return fmt.Errorf("unknown step %q", st.Do)
}

func (x *scriptRun) agentOf(st *Step) *Agent {
	if st.Agent != "" {
		return x.agents[st.Agent]
	}
	if len(x.list) == 0 {
		return nil
	}
	return x.list[0]
}

// judge performs a step, repeats it as long as it may become right, compares,
// and captures.
func (x *scriptRun) judge(ctx context.Context, st *Step, dev *Deviation) string {
	expect := *st.Expect
	if dev != nil {
		var err error
		if expect, err = overlay(*st.Expect, dev); err != nil {
			return err.Error()
		}
	}
	deadline := time.Now().Add(time.Duration(st.EventuallyMS) * time.Millisecond)
	var ans answer
	var diff string
	for {
		if st.Do == "await" {
			ch := x.waiting[st.Await]
			if ch == nil {
				return "nothing runs in the background under " + st.Await
			}
			select {
			case ans = <-ch:
			case <-ctx.Done():
				return context.Cause(ctx).Error()
			}
		} else {
			ans = x.perform(ctx, st)
		}
		diff = x.compare(st, &expect, ans)
		if diff == "" || st.Do == "await" || !time.Now().Add(eventuallyPause).Before(deadline) {
			break
		}
		if err := sleep(ctx, eventuallyPause); err != nil {
			return err.Error()
		}
	}
	for _, c := range st.Capture {
		if d := x.capture(c, ans); d != "" && diff == "" {
			diff = d
		}
	}
	return diff
}

func (x *scriptRun) perform(ctx context.Context, st *Step) answer {
	start := time.Now()
	var ans answer
	if st.Do == "cli" {
		ans = x.runCLI(ctx, st)
	} else {
		ans = x.runHTTP(ctx, st)
	}
	ans.elapsed = time.Since(start)
	return ans
}

// environment of a command: only what the format names.
func (x *scriptRun) environment(st *Step) []string {
	env := map[string]string{"HOME": x.dir, "PATH": os.Getenv("PATH")}
	if a := x.agentOf(st); a != nil {
		env["CONSUL_HTTP_ADDR"] = a.Addr("http")
	}
	maps.Copy(env, st.Env)
	var out []string
	for _, k := range sortedKeys(env) {
		out = append(out, k+"="+x.vars.Expand(env[k]))
	}
	return out
}

// capture saves a part of an answer; "" means done.
func (x *scriptRun) capture(c Capture, ans answer) string {
	text := string(ans.body)
	if ans.header == nil {
		text = ans.stdout
	}
	var got string
	switch c.From {
	case "header":
		got = ans.header.Get(c.Expr)
	case "raw":
		got = text
	case "text":
		got = strings.TrimSpace(text)
	case "json":
		doc, err := decodeJSON([]byte(text))
		if err != nil {
			return "capture " + c.Var + ": " + err.Error()
		}
		got = jsonPath(doc, c.Expr)
	case "regex":
		got = lastGroup(c.Expr, text)
	}
	if got == "" {
		return fmt.Sprintf("capture %s: %s %q is empty", c.Var, c.From, c.Expr)
	}
	x.vars.Set(c.Var, got)
	return ""
}

// scalar prints a JSON value as a variable holds it.
func scalar(v any) string {
	switch s := v.(type) {
	case nil:
		return ""
	case string:
		return s
	case json.Number:
		return s.String()
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(raw)
}
