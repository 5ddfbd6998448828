//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"consul.internal/internal/rig"
)

const (
	// formWithin is the promise for a first start, a machine at work allowed for.
	formWithin = 15 * time.Second
	// surely is how long something may take whose time is not judged.
	surely = 60 * time.Second
)

// shape of a lab.
type shape struct {
	servers, clients int
	diskMB           int  // of each server; 0: a folder
	expectAll        bool // -bootstrap-expect on all servers, not on the first alone
	args             []string
}

// lab is a datacenter in a rig.
type lab struct {
	t       *testing.T
	ctx     context.Context
	rig     *rig.Rig
	net     *rig.Net
	rand    *rand.Rand
	servers []*agent
	clients []*agent
}

// need skips the test where the cluster tests are not asked for.
func need(t *testing.T) {
	t.Helper()
	if !*withCluster {
		t.Skip("SKIPPED, nothing was tested: cluster tests run with -args -cluster, as root")
	}
}

// newLab makes hosts s1.. and c1.., and starts nothing.
func newLab(t *testing.T, sh shape) *lab {
	t.Helper()
	need(t)
	if _, known := watches[root(t)]; !known {
		watches[root(t)] = newWatch()
	}
	cfg := rig.DefaultConfig()
	name := fnv.New64()
	_, _ = name.Write([]byte(t.Name())) // never fails
	cfg.Seed, cfg.Keep = *seed^name.Sum64(), *keep
	r, err := rig.New(cfg, zaptest.NewLogger(t, zaptest.Level(zapcore.WarnLevel)))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, ctx: t.Context(), rig: r, net: r.Net(), rand: rand.New(rand.NewPCG(cfg.Seed, 1))}
	t.Cleanup(l.close)
	for i := range sh.servers {
		a := l.add(fmt.Sprintf("s%d", i+1), true, sh.diskMB)
		a.args = append(a.args, sh.args...)
		if i == 0 || sh.expectAll {
			a.args = append(a.args, fmt.Sprintf("-bootstrap-expect=%d", sh.servers))
		}
		a.args = append(a.args, "-retry-join=s1")
		if sh.expectAll {
			a.args = append(a.args, "-retry-join=s2", "-retry-join=s3")
		}
	}
	for i := range sh.clients {
		a := l.add(fmt.Sprintf("c%d", i+1), false, 0)
		a.args = append(a.args, "-retry-join=s1", "-retry-join=s2", "-retry-join=s3")
		a.args = append(a.args, sh.args...)
	}
	return l
}

// add makes one more host with an agent.
func (l *lab) add(name string, server bool, diskMB int) *agent {
	l.t.Helper()
	h, err := l.rig.Host(name)
	if err != nil {
		l.t.Fatal(err)
	}
	a := &agent{
		lab: l, name: name, host: h, server: server, dir: filepath.Join(l.rig.Dir(), name),
		http: h.HTTPClient(patience), expected: map[*rig.Process]bool{},
	}
	if diskMB > 0 {
		if a.disk, err = h.Disk(diskMB); err != nil {
			l.t.Fatal(err)
		}
		a.dir = filepath.Join(a.disk.Path(), "data")
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	if server {
		l.servers = append(l.servers, a)
	} else {
		l.clients = append(l.clients, a)
	}
	return a
}

// agents are all, servers first.
func (l *lab) agents() []*agent { return slices.Concat(l.servers, l.clients) }

// started makes a lab whose agents run and have formed a cluster.
func started(t *testing.T, sh shape) *lab {
	t.Helper()
	l := newLab(t, sh)
	for _, a := range l.agents() {
		a.start()
	}
	l.formed()
	return l
}

// formed waits, without judging how long, until the cluster is whole.
func (l *lab) formed() {
	l.t.Helper()
	if _, err := await(l.ctx, surely, l.whole); err != nil {
		l.t.Fatalf("the cluster did not form: %v", err)
	}
}

// whole says nil when every agent that runs sees one leader, all servers,
// by their IDs, as voters and all agents alive.
func (l *lab) whole(ctx context.Context) error {
	all := len(l.agents())
	var ids []string
	for _, s := range l.servers {
		ids = append(ids, s.id())
	}
	slices.Sort(ids)
	for _, a := range l.agents() {
		ctx, cancel := context.WithTimeout(ctx, 2*shortly)
		defer cancel()
		voters, leader, err := a.voters(ctx, "")
		switch {
		case err != nil:
			return err
		case leader == "" || !slices.Equal(slices.Sorted(slices.Values(voters)), ids):
			return fmt.Errorf("%s sees the leader %q and the voters %v", a.name, leader, voters)
		}
		living, err := a.living(ctx)
		if err != nil {
			return err
		}
		if len(living) != all {
			return fmt.Errorf("%s sees alive %v", a.name, living)
		}
	}
	return nil
}

// leader waits for a server, not one of those excepted, that says it leads.
func (l *lab) leader(except ...*agent) *agent {
	l.t.Helper()
	var found *agent
	if _, err := await(l.ctx, surely, func(ctx context.Context) error {
		for _, a := range l.servers {
			if !slices.Contains(except, a) && a.alive() && a.leads(ctx) {
				found = a
				return nil
			}
		}
		return errors.New("no server says that it leads")
	}); err != nil {
		l.t.Fatal(err)
	}
	return found
}

// followers are the servers but the leader.
func (l *lab) followers() []*agent {
	l.t.Helper()
	leader := l.leader()
	return slices.DeleteFunc(slices.Clone(l.servers), func(a *agent) bool { return a == leader })
}

// settle waits until all servers run, are voters and have what the leader has.
func (l *lab) settle() {
	l.t.Helper()
	if _, err := await(l.ctx, surely, func(ctx context.Context) error {
		if err := l.whole(ctx); err != nil {
			return err
		}
		return l.caughtUp(ctx)
	}); err != nil {
		l.t.Fatalf("the cluster is not whole again: %v", err)
	}
}

// caughtUp says nil when every server has applied what the leader had committed
// when it was asked.
func (l *lab) caughtUp(ctx context.Context) error {
	var most uint64
	var have []uint64
	for range 2 { // what one has in the second round, all must have had in the first
		have = have[:0]
		for _, a := range l.servers {
			stats, err := a.raft(ctx)
			if err != nil {
				return err
			}
			n, err := strconv.ParseUint(stats["applied_index"], 10, 64)
			if err != nil {
				return err
			}
			have = append(have, n)
		}
		if most == 0 {
			most = slices.Max(have)
		}
	}
	if slices.Min(have) < most {
		return fmt.Errorf("applied are %v, committed was %d", have, most)
	}
	return nil
}

// close judges what holds in every test: no process has ended by itself, none has
// written of a panic.
func (l *lab) close() {
	for _, a := range l.agents() {
		for i, p := range a.host.Processes() {
			a.mu.Lock()
			expected := a.expected[p]
			a.mu.Unlock()
			if !p.Alive() && !expected && l.isAgent(p) {
				wrong(l.t, "%s: process %d ended by itself: %v\n%s", a.name, i+1, p.Wait(context.Background()), p.Tail(tail))
			}
		}
		for line := range strings.Lines(a.logs()) {
			for _, bad := range []string{"panic:", "fatal error:", "DATA RACE", "recovered from a panic"} {
				if strings.Contains(line, bad) {
					wrong(l.t, "%s wrote: %s", a.name, line)
				}
			}
		}
		a.http.CloseIdleConnections()
	}
	if l.t.Failed() {
		for _, a := range l.agents() {
			if ps := a.host.Processes(); len(ps) > 0 {
				l.t.Logf("%s:\n%s", a.name, ps[len(ps)-1].Tail(tail))
			}
		}
	}
	if *keep {
		l.t.Logf("kept: %s", l.rig.Dir())
	}
	if err := l.rig.Close(); err != nil {
		l.t.Errorf("closing the rig: %v", err)
	}
}

// tail bytes of a log are shown when a test fails.
const tail = 6 << 10

func (l *lab) isAgent(p *rig.Process) bool { return strings.Contains(p.String(), " agent ") }
