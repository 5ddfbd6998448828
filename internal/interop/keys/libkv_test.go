package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// What libkv's users (docker swarm, leadership) set: a session of half the TTL
// that is renewed, deletes its key at its end and delays nobody.
const (
	leaderKey  = "docker/swarm/leader"
	libkvTTL   = 20 * time.Second
	followWait = 15 * time.Second // libkv's own
)

// candidateOf holds the agent's address and the candidate's name in a process
// that runs for leader instead of running tests.
const candidateOf = "INTEROP_CANDIDATE"

// candidate does what libkv's NewLock and Lock do, and unlocks when it is told to end.
func candidate(at string) error {
	addr, name, _ := strings.Cut(at, "/")
	consul, err := api.NewClient(&api.Config{Address: addr})
	if err != nil {
		return err
	}
	entry := &api.SessionEntry{Behavior: api.SessionBehaviorDelete, TTL: (libkvTTL / 2).String(), LockDelay: time.Millisecond}
	session, _, err := consul.Session().Create(entry, nil)
	if err != nil {
		return err
	}
	if _, _, err := consul.Session().Renew(session, nil); err != nil {
		return err
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	renewed := make(chan error, 1)
	go func() { renewed <- consul.Session().RenewPeriodic(entry.TTL, session, nil, ended.Done()) }()
	lock, err := consul.LockOpts(&api.LockOptions{
		Key: leaderKey, Value: []byte(name), Session: session, SessionTTL: entry.TTL, MonitorRetries: 3, MonitorRetryTime: time.Second,
	})
	if err != nil {
		return err
	}
	lost, err := lock.Lock(ended.Done())
	if err != nil || lost == nil {
		return errors.Join(err, <-renewed)
	}
	select {
	case <-ended.Done():
	case <-lost:
		return errors.New("the lock was lost")
	}
	return errors.Join(lock.Unlock(), <-renewed) // RenewPeriodic destroys the session
}

// TestLibKVElection has processes run for leader: one leads, one that is killed is
// followed after its TTL and not before, one that resigns at once.
func TestLibKVElection(t *testing.T) {
	addr, consul := agent(t)
	runs := func(name string) *exec.Cmd {
		return start(t, program{name: name, path: os.Args[0], prepare: func(cmd *exec.Cmd) {
			cmd.Env = append(os.Environ(), candidateOf+"="+addr+":8500/"+name)
		}})
	}
	f := &follower{kv: consul.KV()}
	one := runs("one")
	f.until(t, "one")
	two := runs("two")
	poll(t, "two to wait", func() error {
		sessions, _, err := consul.Session().List(nil)
		if err == nil && len(sessions) != 2 {
			err = fmt.Errorf("%d sessions", len(sessions))
		}
		return err
	})
	if led := f.read(t, 0); led != "one" {
		t.Fatalf("%q leads", led)
	}
	killed := time.Now()
	kill(one)
	f.until(t, "two")
	// It renewed every quarter of libkv's TTL.
	if after := time.Since(killed); after < libkvTTL/4 {
		t.Errorf("the session of the killed one ended after %v", after)
	}
	runs("three")
	if err := two.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := two.Wait(); err != nil {
		t.Fatal(err)
	}
	f.until(t, "three")
	t.Logf("leaders that a follower saw: %q", f.seen)
}

// follower watches as libkv does.
type follower struct {
	kv    *api.KV
	index uint64
	seen  []string // "" = nobody
}

// read is who leads once the key has passed an index, or after libkv's wait.
func (f *follower) read(t *testing.T, index uint64) string {
	t.Helper()
	p, meta, err := f.kv.Get(leaderKey, &api.QueryOptions{WaitIndex: index, WaitTime: followWait})
	if err != nil {
		t.Fatal(err)
	}
	f.index = meta.LastIndex
	if p == nil || p.Session == "" {
		return ""
	}
	return string(p.Value)
}

func (f *follower) until(t *testing.T, name string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		led := f.read(t, f.index)
		if len(f.seen) == 0 || f.seen[len(f.seen)-1] != led {
			f.seen = append(f.seen, led)
		}
		switch {
		case led == name:
			return
		case time.Now().After(deadline):
			t.Fatalf("%s does not lead; leaders seen: %q", name, f.seen)
		}
	}
}
