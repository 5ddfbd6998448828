package keys

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

var binary string // the agent, built from this tree

func TestMain(m *testing.M) {
	if at := os.Getenv(candidateOf); at != "" {
		if err := candidate(at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

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

// loopback is an address that nobody else uses, probably.
func loopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(64), 1+rand.IntN(254), 1+rand.IntN(254))
}

// agent runs the real binary at an address of its own.
func agent(t *testing.T) (addr string, consul *api.Client) {
	t.Helper()
	addr = loopback()
	start(t, program{name: "agent", path: binary, args: []string{"agent", "-dev", "-node=here", "-bind=" + addr, "-client=" + addr}})
	consul, err := api.NewClient(&api.Config{Address: addr + ":8500"})
	if err != nil {
		t.Fatal(err)
	}
	poll(t, "a leader", func() error {
		_, _, err := consul.Session().List(&api.QueryOptions{RequireConsistent: true})
		return err
	})
	return addr, consul
}

// program is something to run until the test ends.
type program struct {
	name, path string
	args       []string
	prepare    func(*exec.Cmd)
}

// start starts a program; what it wrote is shown if the test fails.
func start(t *testing.T, p program) *exec.Cmd {
	t.Helper()
	logs, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Stdout, cmd.Stderr = logs, logs
	if p.prepare != nil {
		p.prepare(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill(cmd)
		if t.Failed() {
			text, err := os.ReadFile(logs.Name())
			t.Logf("log of %s: %v\n%s", p.name, err, text)
		}
	})
	return cmd
}

// kill ends a program, however often it is called.
func kill(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // it was killed
	}
}

// need skips a test whose program is not there.
func need(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := exec.LookPath(path); err != nil {
			t.Skipf("SKIPPED: %v; make interop-keys as root installs it where apt-get can", err)
		}
	}
}

// patience is more than a database needs to start on a machine that others use, too.
const patience = 2 * time.Minute

// poll waits until ok finds no fault any more.
func poll(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
	}
}
