package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"consul.internal/cmd/consul/command"
	"consul.internal/cmd/consul/operate"
)

func TestMaint(t *testing.T) {
	c, _ := startDev(t, `service {
  id   = "web-1"
  name = "web"
}`)
	if got := c.state(); got != stateReady {
		t.Fatalf("first state %q", got)
	}
	for _, tt := range []struct {
		args     []string
		code     int
		out, err string
	}{
		{nil, 0, "", ""},
		{[]string{"-enable", "-reason=disk is broken"}, 0, "Node maintenance is now enabled\n", ""},
		{[]string{"-enable", "-service=web-1"}, 0, "Service maintenance is now enabled for \"web-1\"\n", ""},
		{nil, 0, "Node:\n  Name:   n\n  Reason: disk is broken\n\nService:\n  ID:     web-1\n  Reason: Maintenance mode is enabled for this service, but no reason was provided. This is a default message.\n", ""},
		{[]string{"-disable"}, 0, "Node maintenance is now disabled\n", ""},
		{[]string{"-disable", "-service=web-1"}, 0, "Service maintenance is now disabled for \"web-1\"\n", ""},
		{nil, 0, "", ""},
		{[]string{"-enable", "-service=none"}, 1, "", "Error enabling service maintenance: Unexpected response code: 404 (Unknown service ID \"none\"."},
		{[]string{"-disable", "-service=none"}, 1, "", "Error disabling service maintenance: "},
	} {
		code, out, errs := execute(t, append([]string{"maint", "-http-addr=" + c.addr}, tt.args...)...)
		if code != tt.code || out != tt.out || !strings.HasPrefix(errs, tt.err) || (errs == "") != (tt.err == "") {
			t.Errorf("%v: exit %d, %q, %q", tt.args, code, out, errs)
		}
	}
}

func TestLocalCommandsRefuse(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1") // nobody listens there
	t.Chdir(t.TempDir())
	if err := os.WriteFile("there.tar.gz", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, err string }{
		{"maint -enable -disable", "Only one of -enable or -disable may be provided"},
		{"maint -reason=x", "Reason may only be provided with -enable"},
		{"maint -service=x", "Service requires either -enable or -disable"},
		{"maint x", "Too many arguments (expected 0, got 1)"},
		{"maint", "Error querying Consul agent: "},
		{"maint -enable", "Error enabling node maintenance: "},
		{"monitor x", "Too many arguments"},
		{"monitor", "Error starting monitor: "},
		{"debug x", "Too many arguments"},
		{"debug -duration=1s", "Capture validation failed: duration must be longer than 10s"},
		{"debug -interval=1s", "Capture validation failed: interval must be longer than 5s"},
		{"debug -duration=20s -interval=30s", "Capture validation failed: duration (20s) must be longer than interval (30s)"},
		{"debug -capture=agnet", "Capture validation failed: unknown capture target \"agnet\""},
		{"debug -output=there", "Capture validation failed: there.tar.gz exists already"},
		{"debug", "Capture validation failed: error querying target agent: "},
		{"debug -duration=x", "invalid value"},
	} {
		if code, out, errs := execute(t, strings.Fields(tt.args)...); code != 1 || out != "" || !strings.HasPrefix(errs, tt.err) {
			t.Errorf("%s: exit %d, %q, %q", tt.args, code, out, errs)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 1 {
		t.Errorf("a refused command leaves %v, %v", left, err)
	}
}

func TestMonitor(t *testing.T) {
	agent, _ := startDev(t, "", "-log-level=warn")
	if got := agent.state(); got != stateReady {
		t.Fatalf("first state %q", got)
	}
	if code, _, errs := execute(t, "monitor", "-log-level=shout", "-http-addr="+agent.addr); code != 1 ||
		errs != "Error starting monitor: Unexpected response code: 400 (Unknown log level: shout)\n" {
		t.Errorf("bad level: exit %d, %q", code, errs)
	}
	debug := startChild(t, "monitor", "-log-level=debug", "-http-addr="+agent.addr)
	jsons := startChild(t, "monitor", "-log-level=debug", "-log-json", "-http-addr="+agent.addr)
	until := func(c *child, pattern string) {
		t.Helper()
		for deadline := time.Now().Add(patience); !regexp.MustCompile(pattern).MatchString(c.stdout.String()); {
			if time.Now().After(deadline) {
				t.Fatalf("no %q in %q, %q", pattern, c.stdout.String(), c.stderr.String())
			}
			agent.get("/v1/status/leader") // logged at DEBUG
		}
	}
	until(debug, `(?m)^\S+ \[DEBUG\] agent\.http: Request finished: method=GET url=/v1/status/leader `)
	until(jsons, `(?m)^\{"@level":"debug","@message":"Request finished",`)
	debug.signal(os.Interrupt)
	if code := debug.wait(); code != 0 || debug.stderr.String() != "" {
		t.Errorf("interrupted: exit %d, %q", code, debug.stderr.String())
	}
	agent.signal(syscall.SIGTERM)
	if code := jsons.wait(); code != 1 || !strings.Contains(jsons.stderr.String(), "Remote side ended the monitor!") {
		t.Errorf("the agent has gone: exit %d, %q", code, jsons.stderr.String())
	}
	agent.wait()
	if strings.Contains(agent.stdout.String(), "[DEBUG]") {
		t.Error("a listener made the agent's own log finer")
	}
}

// unpack reads an archive.
func unpack(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(h.Name, "/") {
			files[h.Name] = text
		}
	}
}

// quickDebug runs the command with short times.
func quickDebug(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &command.App{In: strings.NewReader(""), Out: &out, Err: &errs}
	code = operate.Debug(a, time.Second, time.Second).Run(args)
	return code, out.String(), errs.String()
}

func TestDebugBundle(t *testing.T) {
	agent, _ := startDev(t, "enable_debug = true")
	if got := agent.state(); got != stateReady {
		t.Fatalf("first state %q", got)
	}
	t.Chdir(t.TempDir())
	// Somebody uses the agent meanwhile, so that its log has lines whenever it is captured.
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			if r, err := http.Get("http://" + agent.addr + "/v1/status/leader"); err == nil {
				_ = r.Body.Close() // only the request counts
			}
		}
	})
	code, out, errs := quickDebug(t, "-http-addr="+agent.addr, "-duration=3s", "-interval=2s", "-output=b")
	stop()
	wg.Wait()
	if code != 0 || errs != "" || !regexp.MustCompile(`(?s)^==> Starting debugger and capturing static information\.\.\.
     Agent Version: '\S+'
          Interval: '2s'
          Duration: '3s'
            Output: 'b\.tar\.gz'
           Capture: 'metrics, logs, pprof, host, agent, members'
==> Beginning capture interval .* \(0\)
==> Capture successful .* \(0\)
.*Saved debug archive: b\.tar\.gz
$`).MatchString(out) {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	files := unpack(t, "b.tar.gz")
	for name, pattern := range map[string]string{
		"b/agent.json":   `"NodeName": "n"`,
		"b/host.json":    `"CollectionTime"`,
		"b/members.json": `"Name": "n"`,
		"b/metrics.json": `^\{"Counters":.*"Timestamp":`,
		"b/consul.log":   `\[DEBUG\] agent\.http: Request finished`,
		"b/index.json":   `"AgentVersion": "\d+\.\d+`,
		"b/profile.prof": `(?s).`,
		"b/trace.out":    `^go 1\.`,
	} {
		if !regexp.MustCompile(pattern).Match(files[name]) {
			t.Errorf("%s is %.200q", name, files[name])
		}
	}
	names := slices.Sorted(maps.Keys(files))
	if all := strings.Join(names, " "); strings.Count(all, "/heap.prof") != 2 || strings.Count(all, "/goroutine.prof") != 2 {
		t.Errorf("files %q", names)
	}
	var ix struct {
		Duration        string
		Targets, Errors []string
	}
	if err := json.Unmarshal(files["b/index.json"], &ix); err != nil || ix.Duration != "3s" || len(ix.Targets) != 6 || ix.Errors != nil {
		t.Errorf("index %+v, %v", ix, err)
	}
	if left, err := filepath.Glob("*"); err != nil || len(left) != 1 {
		t.Errorf("left %q, %v", left, err)
	}
	if info, err := os.Stat("b.tar.gz"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestDebugWithoutProfiles(t *testing.T) {
	agent, _ := startDev(t, "enable_debug = false")
	if got := agent.state(); got != stateReady {
		t.Fatalf("first state %q", got)
	}
	t.Chdir(t.TempDir())
	code, out, errs := quickDebug(t, "-http-addr="+agent.addr, "-duration=1s", "-interval=1s", "-output=b", "-archive=false")
	if code != 0 || !strings.HasPrefix(errs, "[WARN] Unable to capture pprof. Set enable_debug to true") || !strings.Contains(out, "Saved debug directory: b\n") ||
		strings.Contains(out, "pprof") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if code, _, errs := quickDebug(t, "-http-addr="+agent.addr, "-duration=1s", "-interval=1s", "-output=b", "-archive=false"); code != 1 || !strings.Contains(errs, "b: file exists") {
		t.Errorf("a second time: exit %d, %q", code, errs)
	}
	left, err := filepath.Glob("*/*")
	if want := []string{"b/agent.json", "b/consul.log", "b/host.json", "b/index.json", "b/members.json", "b/metrics.json"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left %q, %v", left, err)
	}
	if code, out, errs := quickDebug(t, "-http-addr="+agent.addr, "-duration=1s", "-interval=1s", "-output=few", "-capture=agent", "-capture=cluster"); code != 0 || errs != "" {
		t.Errorf("few: exit %d, %q, %q", code, out, errs)
	}
	if got := slices.Sorted(maps.Keys(unpack(t, "few.tar.gz"))); !slices.Equal(got, []string{"few/agent.json", "few/index.json", "few/members.json"}) {
		t.Errorf("few holds %q", got)
	}

	// An interrupt ends a long recording, and what there is is saved.
	long := startChild(t, "debug", "-http-addr="+agent.addr, "-output="+filepath.Join(t.TempDir(), "long"))
	for deadline := time.Now().Add(patience); !strings.Contains(long.stdout.String(), "Capture successful"); {
		if time.Now().After(deadline) {
			t.Fatalf("no capture: %q, %q", long.stdout.String(), long.stderr.String())
		}
		agent.get("/v1/status/leader")
	}
	long.signal(os.Interrupt)
	if code := long.wait(); code != 0 || !strings.Contains(long.stdout.String(), "Saved debug archive: ") {
		t.Errorf("interrupted: exit %d, %q, %q", code, long.stdout.String(), long.stderr.String())
	}
}

// TestCompletion asks the program as a shell does. Installing would write to the
// home directory of whoever runs the test.
func TestCompletion(t *testing.T) {
	for line, want := range map[string][]string{
		"consul ma":                       {"maint"},
		"consul catalog ":                 {"datacenters", "nodes", "services"},
		"consul maint -en":                {"-enable"},
		"consul services register -tagge": {"-tagged-address"},
		"consul -autocomplete":            {"-autocomplete-install", "-autocomplete-uninstall"},
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{asProgram + "=1", "COMP_LINE=" + line}
		out, err := cmd.Output()
		got := strings.Fields(string(out))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
}

func TestUnknownSyslogFacility(t *testing.T) {
	code, _, errs := execute(t, "agent", "-dev", "-bind=127.0.0.1", "-hcl=syslog_facility = \"LOCAL9\"")
	if code != 1 || !strings.Contains(errs, "LOCAL9") || !strings.Contains(errs, "LOCAL7") {
		t.Errorf("an unknown facility: exit %d, %q", code, errs)
	}
}
