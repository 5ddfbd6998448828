package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// setupTimeout is the format's default for a step that is retried.
	setupTimeout = 20 * time.Second
	// sampleAsks and shuffleAsks are the numbers that the format asks for.
	sampleAsks, shuffleAsks = 5, 40
)

// Runner runs vectors against one binary.
type Runner struct {
	Bin        string
	Temp       string // every fixture gets a folder below
	Addresses  *Addresses
	Deviations *Deviations
	Report     *Report
}

// dnsFixture is one running DNS file.
type dnsFixture struct {
	*Runner
	file      *DNSFile
	vars      *Vars
	agents    []*Agent
	bases     map[string]map[string]any
	recursors []*recursor
	client    *http.Client
	broken    string // set once an agent cannot be used any more
}

// RunDNS runs one DNS file and records a result for every case.
func (r *Runner) RunDNS(ctx context.Context, f *DNSFile) {
	x := &dnsFixture{Runner: r, file: f, vars: NewVars(), bases: map[string]map[string]any{}, client: newHTTPClient()}
	defer x.close()
	if err := x.open(ctx); err != nil {
		x.broken = err.Error()
	}
	for _, phase := range f.Phases {
		for i := range phase.Steps {
			x.step(ctx, phase.Name, i, &phase.Steps[i])
		}
		for i := range phase.Cases {
			x.runCase(&phase.Cases[i])
		}
	}
}

func (x *dnsFixture) close() {
	for _, a := range x.agents {
		_ = a.Signal(syscall.SIGKILL) // nothing of a fixture is kept
	}
	x.reportCrashes("dns", x.file.Area, x.file.Name, x.agents)
	for _, r := range x.recursors {
		r.Close()
	}
	x.client.CloseIdleConnections()
}

func (x *dnsFixture) open(ctx context.Context) error {
	dir, err := os.MkdirTemp(x.Temp, "dns-"+x.file.Name+"-")
	if err != nil {
		return err
	}
	for _, spec := range x.file.Fixture.Recursors {
		r, err := startRecursor(spec, x.Addresses.Next())
		if err != nil {
			return err
		}
		x.recursors = append(x.recursors, r)
		x.vars.Set(spec.Name, r.addr)
	}
	for i, spec := range x.file.Fixture.Agents {
		a, err := newAgent(x.Bin, spec.Name, x.Addresses.Next(), dir, i)
		if err != nil {
			return err
		}
		a.Token = spec.Token
		x.agents = append(x.agents, a)
		defineDNSVars(x.vars, a)
	}
	for i, spec := range x.file.Fixture.Agents {
		if err := x.startAgent(ctx, x.agents[i], spec); err != nil {
			return err
		}
	}
	return nil
}

func defineDNSVars(v *Vars, a *Agent) {
	o := strings.Split(a.IP, ".")
	var b [4]byte
	_, _ = fmt.Sscanf(a.IP, "%d.%d.%d.%d", &b[0], &b[1], &b[2], &b[3]) // our own address, always four numbers
	v.Set(a.Name+".addr", a.IP)
	v.Set(a.Name+".hex", fmt.Sprintf("%02x%02x%02x%02x", b[0], b[1], b[2], b[3]))
	v.Set(a.Name+".arpa", o[3]+"."+o[2]+"."+o[1]+"."+o[0]+".in-addr.arpa")
	for _, p := range []string{"dns", "http", "server", "serf_lan", "serf_wan", "grpc"} {
		v.SetPort(a.Name+"."+p, a.ports[p])
	}
}

func (x *dnsFixture) startAgent(ctx context.Context, a *Agent, spec DNSAgent) error {
	base := map[string]any{
		"bind_addr": a.IP, "client_addr": a.IP, "disable_update_check": true, "log_level": "INFO",
		"ports": map[string]any{
			"dns": a.ports["dns"], "http": a.ports["http"], "server": a.ports["server"], "serf_lan": a.ports["serf_lan"],
			"serf_wan": a.ports["serf_wan"], "grpc": a.ports["grpc"], "grpc_tls": -1,
		},
	}
	a.Args = []string{"agent"}
	if spec.Mode == "server" {
		base["server"], base["bootstrap_expect"] = true, 1
		base["data_dir"] = filepath.Join(a.Dir, "data")
		base["performance"] = map[string]any{"raft_multiplier": 1}
	} else {
		a.Args = append(a.Args, "-dev")
	}
	a.Args = append(a.Args, "-config-file="+a.ConfigFile)
	x.bases[a.Name] = base
	if err := x.writeConfig(a, spec.Config); err != nil {
		return err
	}
	if err := a.Start(); err != nil {
		return err
	}
	name, _ := spec.Config["node_name"].(string)
	if err := a.await(ctx, readyTimeout, func() bool { return x.listsItself(ctx, a, name) }); err != nil {
		return err
	}
	// The own node's addresses and metadata may follow; a node without them is
	// judged as it is.
	full := time.Now().Add(2 * time.Second)
	for !x.describesItself(ctx, a, name) && time.Now().Before(full) {
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	return nil
}

// writeConfig writes the base with the given keys laid over: each replaces the
// whole key of the base.
func (x *dnsFixture) writeConfig(a *Agent, config map[string]any) error {
	cfg := map[string]any{}
	for k, v := range x.bases[a.Name] {
		cfg[k] = v
	}
	for k, v := range x.vars.ExpandMap(config) {
		cfg[k] = v
	}
	return a.WriteConfig(cfg)
}

func (x *dnsFixture) listsItself(ctx context.Context, a *Agent, name string) bool {
	var list []struct{ Node struct{ Node string } }
	status, _, err := a.get(ctx, x.client, "/v1/health/service/consul?passing=1", a.Token, &list)
	if err != nil || status != http.StatusOK {
		return false
	}
	for _, e := range list {
		if name == "" || e.Node.Node == name {
			return true
		}
	}
	return false
}

func (x *dnsFixture) describesItself(ctx context.Context, a *Agent, name string) bool {
	var list []struct {
		Node            string
		TaggedAddresses map[string]string
		Meta            map[string]string
	}
	if _, _, err := a.get(ctx, x.client, "/v1/catalog/nodes", a.Token, &list); err != nil {
		return false
	}
	for _, n := range list {
		if (name == "" || n.Node == name) && len(n.TaggedAddresses) > 0 && len(n.Meta) > 0 {
			return true
		}
	}
	return false
}

func (x *dnsFixture) agent(name string) *Agent {
	for _, a := range x.agents {
		if name == "" || a.Name == name {
			return a
		}
	}
	return nil
}

// step carries out one step of a phase. One that an unbuilt part refuses is
// noted and skipped; any other that cannot be carried out is a failure of its
// own and does not keep the cases from being judged.
func (x *dnsFixture) step(ctx context.Context, phase string, i int, s *DNSStep) {
	if x.broken != "" {
		return
	}
	a := x.agent(s.Agent)
	if a == nil {
		x.broken = "no agent " + s.Agent
		return
	}
	err := x.doStep(ctx, a, s)
	if err == nil {
		return
	}
	name := fmt.Sprintf("%s/%s/step %d %s %s", x.file.Name, phase, i+1, s.Op, s.Path)
	owner := latest(x.fileOwner(), PathOwner(s.Path))
	if !owed(owner) {
		x.Report.Note("dns %s: %v (belongs to issue %s)", name, err, owner)
		return
	}
	x.Report.Add(Result{Suite: "dns", Area: x.file.Area, Name: name, Owner: owner, Outcome: Failed, Detail: x.withLog(err.Error())})
}

func (x *dnsFixture) fileOwner() string {
	if o, ok := dnsFileOwners[x.file.Name]; ok {
		return o
	}
	return "A"
}

func (x *dnsFixture) doStep(ctx context.Context, a *Agent, s *DNSStep) error {
	limit := setupTimeout
	if s.TimeoutMS > 0 {
		limit = time.Duration(s.TimeoutMS) * time.Millisecond
	}
	switch s.Op {
	case "http":
		return x.httpStep(ctx, a, s, limit)
	case "wait":
		if !owed(latest(x.fileOwner(), PathOwner(s.Path))) {
			limit = min(limit, 3*time.Second) // a part that is not built will not come
		}
		return x.waitStep(ctx, a, s, limit)
	case "reload":
		if err := x.writeConfig(a, s.Config); err != nil {
			return err
		}
		status, body, err := a.do(ctx, x.client, http.MethodPut, "/v1/agent/reload", x.token(a, s), nil, nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("reload: status %d: %s", status, clip(string(body)))
		}
		return err
	case "stop":
		return a.Signal(syscall.SIGKILL)
	case "sleep":
		return sleep(ctx, time.Duration(s.MS)*time.Millisecond)
	}
	return fmt.Errorf("unknown step %q", s.Op)
}

func (x *dnsFixture) token(a *Agent, s *DNSStep) string {
	if s.Token != "" {
		return x.vars.Expand(s.Token)
	}
	return a.Token
}

func (x *dnsFixture) httpStep(ctx context.Context, a *Agent, s *DNSStep, limit time.Duration) error {
	want := s.Status
	if want == 0 {
		want = http.StatusOK
	}
	body, err := x.expandBody(s.Body)
	if err != nil {
		return err
	}
	once := s.IgnoreError || !owed(PathOwner(s.Path)) // an endpoint that is not built will not come
	deadline := time.Now().Add(limit)
	for {
		var saved map[string]any
		var out any
		if len(s.Save) > 0 {
			out = &saved
		}
		status, raw, err := a.do(ctx, x.client, s.Method, x.vars.Expand(s.Path), x.token(a, s), body, out)
		if err == nil && status == want {
			for name, field := range s.Save {
				text, _ := saved[field].(string)
				x.vars.Set(name, text)
			}
			return nil
		}
		if s.IgnoreError {
			return nil
		}
		if once || time.Now().After(deadline) || a.gone() {
			return errors.Join(err, fmt.Errorf("want status %d, got %d: %s", want, status, clip(string(raw))))
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
}

func (x *dnsFixture) expandBody(raw json.RawMessage) ([]byte, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	// Placeholders in a body stand for numbers only where the whole text says
	// so; a body is text, so plain replacement is what the format means.
	return []byte(x.vars.Expand(string(raw))), nil
}

func (x *dnsFixture) waitStep(ctx context.Context, a *Agent, s *DNSStep, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		status, raw, err := a.get(ctx, x.client, x.vars.Expand(s.Path), x.token(a, s), nil)
		why := x.waitDiff(s, status, raw)
		if err == nil && why == "" {
			return nil
		}
		if time.Now().After(deadline) || a.gone() {
			return errors.Join(err, errors.New(why))
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
}

func (x *dnsFixture) waitDiff(s *DNSStep, status int, raw []byte) string {
	if status != http.StatusOK {
		return fmt.Sprintf("status %d: %s", status, clip(string(raw)))
	}
	if s.Len != nil {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || len(list) != *s.Len {
			return fmt.Sprintf("want %d items, got %d", *s.Len, len(list))
		}
	}
	if c := x.vars.Expand(s.Contains); !bytes.Contains(raw, []byte(c)) {
		return fmt.Sprintf("the body lacks %q: %s", c, clip(string(raw)))
	}
	if c := x.vars.Expand(s.NotContains); c != "" && bytes.Contains(raw, []byte(c)) {
		return fmt.Sprintf("the body still has %q", c)
	}
	return ""
}

// runCase asks a case and records the result.
func (x *dnsFixture) runCase(c *DNSCase) {
	res := Result{Suite: "dns", Area: x.file.Area, Name: x.file.Name + "/" + c.ID, Owner: DNSOwner(x.file, c)}
	dev := x.Deviations.Find("dns", x.file.Name, c.ID)
	var diffs []string
	if x.broken != "" {
		diffs = []string{x.broken}
	} else {
		judged := *c
		var err error
		if dev != nil {
			judged.Expect, err = overlay(c.Expect, dev)
		}
		if err == nil {
			diffs, err = x.askCase(&judged)
		}
		if err != nil {
			diffs = append(diffs, err.Error())
		}
	}
	switch {
	case len(diffs) == 0 && dev != nil:
		res.Outcome, res.Reason = Deviates, dev.Why
	case len(diffs) == 0:
		res.Outcome = Passed
	default:
		res.Detail = strings.Join(diffs, "\n      ")
		if owed(res.Owner) {
			res.Outcome = Failed
			if c.Quirk && dev == nil {
				res.Detail += fmt.Sprintf("\n      (recorded as a quirk, %s: %s; to differ, list it in testdata/deviations.json)", c.Kind, c.Why)
			}
			res.Detail = x.withLog(res.Detail)
		} else {
			res.Outcome, res.Reason = NotYet, "issue "+res.Owner
		}
	}
	x.Report.Add(res)
}

func (x *dnsFixture) askCase(c *DNSCase) ([]string, error) {
	a := x.agent(c.Agent)
	if a == nil {
		return nil, fmt.Errorf("no agent %s", c.Agent)
	}
	asks := 1
	if c.Compare.Answer == "sample" {
		asks = sampleAsks
	}
	if c.Compare.Shuffle {
		asks = shuffleAsks
	}
	firsts := map[string]bool{}
	for range asks {
		r, err := c.Query.ask(a.Addr("dns"), x.vars.Expand)
		if c.Expect.NoResponse {
			if errors.Is(err, errNoResponse) {
				return nil, nil
			}
			if err == nil {
				return []string{"want no response, got:\n" + indent(r.msg.String())}, nil
			}
		}
		if err != nil {
			return nil, err
		}
		if diffs := c.judge(r, x.vars.Expand); len(diffs) > 0 {
			return diffs, nil
		}
		if texts := rrTexts(r.msg.Answer); len(texts) > 0 {
			firsts[texts[0]] = true
		}
	}
	if c.Compare.Shuffle && len(firsts) < 2 {
		return []string{fmt.Sprintf("shuffle: the first answer was the same %d times", asks)}, nil
	}
	return nil, nil
}

// withLog adds the logs of agents that are gone: a crash explains the rest.
func (x *dnsFixture) withLog(detail string) string { return withLogs(detail, x.agents) }

func withLogs(detail string, agents []*Agent) string {
	for _, a := range agents {
		if a.gone() {
			detail += "\n      log of agent " + a.Name + ", which has ended:\n" + indent(a.Tail())
		}
	}
	return detail
}
