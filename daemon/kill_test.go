package daemon_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// build makes the real binary.
func build(t testing.TB) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "consul")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "consul.internal/cmd/consul").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// proc is an agent in a process of its own, which can be killed.
type proc struct {
	*node
	cmd *exec.Cmd
	log *os.File
}

func spawn(t testing.TB, bin, addr, dir string, args ...string) *proc {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &proc{node: &node{addr: addr}, log: log}
	p.cmd = exec.Command(bin, append([]string{"agent", "-server", "-bootstrap-expect=1", "-node=node-a",
		"-bind=" + addr, "-client=" + addr, "-data-dir=" + filepath.Join(dir, "data")}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill(t) })
	if p.client, err = api.NewClient(&api.Config{Address: addr + ":8500"}); err != nil {
		t.Fatal(err)
	}
	return p
}

// kill ends the process as a power cut would.
func (p *proc) kill(t testing.TB) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	_ = p.cmd.Wait() // its status is that it was killed
	if err := p.log.Close(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		text, err := os.ReadFile(p.log.Name())
		t.Logf("log of the agent: %v\n%s", err, text[max(0, len(text)-8<<10):])
	}
}

func (p *proc) register(name string) (uint64, error) {
	_, err := p.client.Catalog().Register(&api.CatalogRegistration{
		Node: "ext", Address: "10.0.0.1",
		Service: &api.AgentService{ID: name, Service: name, Port: 1},
		Checks:  api.HealthChecks{{CheckID: name, Name: name, ServiceID: name, Status: api.HealthPassing}},
	}, nil)
	if err != nil {
		return 0, err
	}
	_, meta, err := p.client.Catalog().Service(name, "", nil)
	if err != nil {
		return 0, nil // acknowledged all the same
	}
	return meta.LastIndex, nil
}

// TestKilledAtAnyMoment kills a server again and again, from moments after its
// very first start on: it starts again by itself, with every acknowledged write
// and no lower index.
func TestKilledAtAnyMoment(t *testing.T) {
	bin, dir, addr := build(t), t.TempDir(), freeAddr(t)
	var acked []string
	var highest uint64
	const rounds = 12
	for round := range rounds {
		p := spawn(t, bin, addr, dir)
		killed := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("s-%d-%d", round, i)
				index, err := p.register(name)
				if err == nil {
					acked = append(acked, name)
					highest = max(highest, index)
				}
				select {
				case <-killed:
					return
				default:
				}
			}
		})
		// The first rounds end within the first start's file work, the later ones under writes.
		alive := time.NewTimer(time.Duration(round)*150*time.Millisecond + rand.N(200*time.Millisecond))
		<-alive.C
		p.kill(t)
		close(killed)
		wg.Wait()
	}
	p := spawn(t, bin, addr, dir)
	p.await(t, "the server after all those kills", func() bool {
		_, meta, err := p.client.Catalog().Services(nil)
		return err == nil && meta.KnownLeader
	})
	services, meta, err := p.client.Catalog().Services(nil)
	if err != nil {
		t.Fatal(err)
	}
	if meta.LastIndex < highest {
		t.Errorf("index %d, but %d was seen before", meta.LastIndex, highest)
	}
	for _, name := range acked {
		if _, ok := services[name]; !ok {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	if len(acked) == 0 {
		t.Error("no write was acknowledged: nothing was tested")
	}
	t.Logf("%d acknowledged writes over %d kills", len(acked), rounds)
	checkModes(t, filepath.Join(dir, "data"))
}

// checkModes: whatever lies in a data directory is for its owner only.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRestoreBeforeNXDOMAIN kills a server that has a snapshot and thousands of
// entries behind it, and asks from the moment its DNS port is back: a name that
// exists is never said not to.
func TestRestoreBeforeNXDOMAIN(t *testing.T) {
	bin, dir, addr := build(t), t.TempDir(), freeAddr(t)
	conf := write(t, dir+"/conf.hcl", `raft_snapshot_threshold = 6000
raft_snapshot_interval = "1s"
raft_trailing_logs = 5000`)
	p := spawn(t, bin, addr, dir, "-config-file="+conf)
	p.await(t, "a leader", func() bool {
		_, err := p.register("first")
		return err == nil
	})
	const writers, each = 32, 320
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("w%d-%d", w, i)
				if _, err := p.client.Catalog().Register(&api.CatalogRegistration{
					Node: fmt.Sprintf("n%d", w), Address: fmt.Sprintf("10.0.1.%d", w), Service: &api.AgentService{Service: name, Port: 1},
				}, nil); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	wg.Wait()
	p.await(t, "a snapshot", func() bool {
		snaps, err := filepath.Glob(filepath.Join(dir, "data/raft/snapshots/*.snap"))
		return err == nil && len(snaps) > 0
	})
	last, err := p.register("last")
	if err != nil || last < writers*each {
		t.Fatalf("index %d, %v", last, err)
	}
	p.kill(t)

	p = spawn(t, bin, addr, dir, "-config-file="+conf)
	servfails, answered := 0, false
	p.await(t, "an answer for each name", func() bool {
		good := 0
		for _, name := range []string{"first", "w31-319", "last"} {
			r, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion(name+".service.consul.", dns.TypeSRV), addr+":8600")
			switch {
			case err != nil: // the door is not open yet
				if answered {
					t.Errorf("%s: %v", name, err)
				}
			case r.Rcode == dns.RcodeServerFailure:
				servfails++
			case r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1:
				t.Errorf("%s: %s with %d answers before the restore has ended", name, dns.RcodeToString[r.Rcode], len(r.Answer))
			default:
				answered = true
				good++
			}
		}
		return good == 3
	})
	_, meta, err := p.client.Catalog().Service("last", "", nil)
	if err != nil || meta.LastIndex < last {
		t.Errorf("index %d after the restart, %d before; %v", meta.LastIndex, last, err)
	}
	t.Logf("%d SERVFAIL before the first full answer", servfails)
}
