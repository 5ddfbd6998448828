package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// watching is a configuration with a watch of a key that writes into a file. What
// consul exec asks for is run.
func watching(key, file string) string {
	return `disable_remote_exec = false
watches {
  type = "key"
  key  = "` + key + `"
  args = ["sh", "-c", "cat >> ` + file + `"]
}`
}

// keysAgent is an agent that watches a key.
func keysAgent(t *testing.T) (agent *child, config, told string) {
	t.Helper()
	told = filepath.Join(t.TempDir(), "told")
	agent, config = startDev(t, watching("watched", told))
	if got := agent.state(); got != stateReady {
		t.Fatalf("first state %q", got)
	}
	t.Setenv("CONSUL_HTTP_ADDR", agent.addr)
	t.Setenv("SHELL", "/bin/sh")
	for deadline := time.Now().Add(patience); ; { // until there is a leader
		if code, _, errs := execute(t, "kv", "put", "ready"); code == 0 {
			return agent, config, told
		} else if time.Now().After(deadline) {
			t.Fatal(errs)
		}
	}
}

// until runs a command line until it prints something.
func until(t *testing.T, want string, args ...string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		_, out, errs := execute(t, args...)
		if strings.Contains(out, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q: %q, %q, want %q", args, out, errs, want)
		}
	}
}

func TestWatches(t *testing.T) {
	agent, config, file := keysAgent(t)
	for _, tt := range []struct {
		args      string
		code      int
		out, errs string // part
	}{
		{"-type=key -key=nothing", 0, "null\n", ""},
		{"-type=key -key=ready", 0, "    \"Key\": \"ready\",\n", ""},
		{"-type=keyprefix -prefix=rea", 0, "        \"Key\": \"ready\",\n", ""},
		{"-type=services", 0, "{\n    \"consul\": []\n}\n", ""},
		{"-type=service -service=consul -tag=x", 0, "[]\n", ""},
		{"-type=checks -service=consul", 0, "[]\n", ""},
		{"-type=event", 0, "[]\n", ""},
		{"", 1, "", "Watch type must be specified\n\nUsage: consul watch [options] [child...]\n"},
		{"-type=zzz", 1, "", "Unsupported watch type: zzz\n"},
		{"-type=key", 1, "", "Must specify a single key to watch\n"},
		{"-type=nodes -http-addr=127.0.0.1:1", 1, "", "Error querying Consul agent: Get "},
		{"-type=nodes -http-addr=127.0.0.1:1 cat", 1, "", "Error querying Consul agent: Get "},
		{"-type=key -key=ready exit 7", 1, "", "Error executing handler: exit status 7\n"},
		{"-type=key -key=ready -shell=false false", 1, "", "Error executing handler: exit status 1\n"},
	} {
		code, out, errs := execute(t, append([]string{"watch"}, strings.Fields(tt.args)...)...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.errs) || (errs == "") != (tt.errs == "") {
			t.Errorf("%s: exit %d, %q, %q", tt.args, code, out, errs)
		}
	}
	// A program is started at every change.
	w := startChild(t, "watch", "-http-addr="+agent.addr, "-type=key", "-key=watched", "cat; echo index=$CONSUL_INDEX")
	said := func(of func() string, want string) {
		t.Helper()
		for deadline := time.Now().Add(patience); !strings.Contains(of(), want); {
			if time.Now().After(deadline) {
				t.Fatalf("no %q in %q", want, of())
			}
			agent.get("/v1/status/leader")
		}
	}
	told := func() string {
		text, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(text)
	}
	said(w.stdout.String, "null\nindex=")
	said(told, "null\n")
	execute(t, "kv", "put", "-flags=1", "watched", "x")
	said(w.stdout.String, `{"Key":"watched",`)
	said(told, `{"Key":"watched",`)
	w.signal(os.Interrupt)
	if code := w.wait(); code != 0 {
		t.Errorf("interrupted: exit %d, %q", code, w.stderr.String())
	}

	// A reload changes what is watched.
	if err := os.WriteFile(config, []byte(watching("second", file)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := execute(t, "reload"); code != 0 {
		t.Fatal(errs)
	}
	execute(t, "kv", "put", "-flags=2", "watched", "x")
	execute(t, "kv", "put", "second", "x")
	said(told, `{"Key":"second",`)
	if strings.Contains(told(), `"Flags":2`) {
		t.Errorf("the watch of before goes on: %q", told())
	}
}

func TestLockCommand(t *testing.T) {
	agent, _, _ := keysAgent(t)
	for _, tt := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"-verbose", "l", "echo held=$CONSUL_LOCK_HELD"}, 0, "Attempting acquisition of lock at l/.lock\nLock acquired\nheld=true\n", ""},
		{[]string{"-n=2", "s", "echo semaphore"}, 0, "semaphore\n", ""},
		{[]string{"-shell=false", "l", "echo", "a  b"}, 0, "a  b\n", ""},
		{[]string{"l", "exit 9"}, 0, "", ""},
		{[]string{"-child-exit-code", "l", "exit 9"}, 2, "", ""},
		{[]string{"-child-exit-code", "l", "true"}, 0, "", ""},
		{[]string{"-shell=false", "l", "/nothing/here"}, 2, "", "Error starting the program: fork/exec /nothing/here: no such file or directory\n"},
		{[]string{"l"}, 1, "", "Key prefix and child command must be specified\n\nUsage: consul lock [options] prefix child...\n"},
		{[]string{"-n=0", "l", "true"}, 1, "", "Lock holder limit must be positive\n"},
		{[]string{"-timeout=-1s", "l", "true"}, 1, "", "Timeout must be positive\n"},
		{[]string{"-monitor-retry=-1", "l", "true"}, 1, "", "Number of monitor retries must be positive\n"},
		{[]string{"-http-addr=127.0.0.1:1", "l", "true"}, 1, "", "Lock acquisition failed: "},
	} {
		code, out, errs := execute(t, append([]string{"lock"}, tt.args...)...)
		if code != tt.code || out != tt.out || !strings.HasPrefix(errs, tt.errs) || (errs == "") != (tt.errs == "") {
			t.Errorf("%q: exit %d, %q, %q", tt.args, code, out, errs)
		}
	}
	if _, out, _ := execute(t, "kv", "get", "-keys"); out != "ready\n" {
		t.Errorf("keys are left: %q", out)
	}

	// Held by one, the lock is not another one's; lost, its program ends.
	holder := startChild(t, "lock", "-http-addr="+agent.addr, "held", "trap 'echo ending; exit' TERM; echo holding; sleep 600 & wait")
	until(t, "held/.lock", "kv", "get", "-keys", "held/")
	if code, out, errs := execute(t, "lock", "-timeout=200ms", "held", "echo no"); code != 1 || out != "" || errs != "Timed out while waiting for the lock\n" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	until(t, "Flags            3304740253564472344", "kv", "get", "-detailed", "held/.lock")
	if code, _, errs := execute(t, "lock", "-n=2", "held", "echo no"); code != 1 || !strings.HasPrefix(errs, "Lock acquisition failed: ") {
		t.Errorf("a semaphore where a lock is: exit %d, %q", code, errs)
	}
	execute(t, "kv", "delete", "held/.lock")
	if code := holder.wait(); code != 1 || !strings.Contains(holder.stdout.String(), "ending") || !strings.Contains(holder.stderr.String(), "The lock is lost") {
		t.Errorf("lost: exit %d, %q, %q", code, holder.stdout.String(), holder.stderr.String())
	}
	stopped := startChild(t, "lock", "-http-addr="+agent.addr, "other", "echo holding; sleep 600")
	until(t, "other/.lock", "kv", "get", "-keys", "other/")
	for deadline := time.Now().Add(patience); !strings.Contains(stopped.stdout.String(), "holding"); {
		if time.Now().After(deadline) {
			t.Fatal(stopped.stderr.String())
		}
		agent.get("/v1/status/leader")
	}
	stopped.signal(os.Interrupt)
	if code := stopped.wait(); code != 0 {
		t.Errorf("interrupted: exit %d, %q", code, stopped.stderr.String())
	}
	if _, out, _ := execute(t, "kv", "get", "-keys", "other/"); out != "" {
		t.Errorf("the interrupted lock left %q", out)
	}
}

func TestExecCommand(t *testing.T) {
	keysAgent(t)
	for _, tt := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"-wait=700ms", "echo hi; echo ho"}, 0, "    n: hi\n    n: ho\n==> n: finished with exit code 0\n1 / 1 node(s) completed / acknowledged\n", ""},
		{[]string{"-wait=700ms", "-node=^n$", "exit 3"}, 2, "==> n: finished with exit code 3\n1 / 1 node(s) completed / acknowledged\n", ""},
		{[]string{"-wait=300ms", "-node=other", "true"}, 0, "0 / 0 node(s) completed / acknowledged\n", ""},
		{nil, 1, "", "Must specify a command to execute\n\nUsage: consul exec [options] [-|command...]\n"},
		{[]string{"-"}, 1, "", "Must specify a command to execute\n"},
		{[]string{"-tag=x", "true"}, 1, "", "Cannot provide tag filter without service filter.\n"},
		{[]string{"-node=[", "true"}, 1, "", "Failed to compile node filter regexp: "},
		{[]string{"-http-addr=127.0.0.1:1", "true"}, 1, "", "Failed to create session: "},
	} {
		code, out, errs := execute(t, append([]string{"exec"}, tt.args...)...)
		if code != tt.code || out != tt.out || !strings.HasPrefix(errs, tt.errs) || (errs == "") != (tt.errs == "") {
			t.Errorf("%q: exit %d, %q, %q", tt.args, code, out, errs)
		}
	}
	if _, out, _ := execute(t, "kv", "get", "-keys"); out != "ready\n" {
		t.Errorf("keys are left: %q", out)
	}
}

// TestSnapshotOfKeys: what an archive of a real agent holds can be shown.
func TestSnapshotOfKeys(t *testing.T) {
	keysAgent(t)
	file := filepath.Join(t.TempDir(), "s.snap")
	for n := range 3 {
		execute(t, "kv", "put", "app/k"+strconv.Itoa(n), "v")
	}
	if code, _, errs := execute(t, "snapshot", "save", file); code != 0 {
		t.Fatal(errs)
	}
	for args, want := range map[string]string{
		"inspect": " KVS ", "inspect -kvdetails": " app/k1 ", "inspect -kvdetails -kvdepth=1": " app ", "decode": `"Key":"app/k2",`,
	} {
		code, out, errs := execute(t, append([]string{"snapshot"}, append(strings.Fields(args), file)...)...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, %q, %q, want %q", args, code, out, errs, want)
		}
	}
}
