package daemon_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"consul.internal/configs"
	"consul.internal/daemon"
	"consul.internal/internal/memnet"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

var clusterLog = flag.String("cluster.log", "", "write what all agents of the cluster tests log into this file")

// cluster is many agents in one process, each on a host of its own in a network
// in memory. It lives inside a synctest bubble.
type cluster struct {
	t     *testing.T
	net   *memnet.Net
	dir   string
	began time.Time
	core  zapcore.Core // nil unless the logs are wanted
	nodes map[string]*labNode
	order []string // of definition
	hosts int
	rule  memnet.Rule
	asker *asker
	scrib *scribe

	mu    sync.Mutex
	names map[string]netip.Addr // what the host names mean
}

// labNode is one machine with an agent on it.
type labNode struct {
	key    string // in the script
	name   string // of the agent
	ip     string
	id     string
	dir    string
	server bool
	memory bool
	args   []string
	d      *daemon.Daemon         // nil while down
	logs   *observer.ObservedLogs // since the last start
	end    sync.WaitGroup         // what still closes
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{
		t: t, net: memnet.New(1), dir: t.TempDir(), began: time.Now(),
		nodes: map[string]*labNode{}, names: map[string]netip.Addr{},
		rule: memnet.Rule{Delay: 200 * time.Microsecond}, // a switch and two kernels
	}
	c.net.SetDefault(c.rule)
	t.Cleanup(c.close)
	if *clusterLog != "" {
		f, err := os.OpenFile(*clusterLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		enc := zap.NewDevelopmentEncoderConfig()
		enc.EncodeTime = func(at time.Time, out zapcore.PrimitiveArrayEncoder) {
			out.AppendString(fmt.Sprintf("%9.3f", at.Sub(c.began).Seconds()))
		}
		enc.EncodeCaller = nil
		c.core = zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.AddSync(f), zap.DebugLevel)
		fmt.Fprintf(f, "==== %s\n", t.Name())
	}
	return c
}

// spec says what a machine is.
type spec struct {
	key, name, ip  string
	server, memory bool
	id             int // 0 = the next
	expect         int
	bootstrap      bool
	join           []string
	flags          []string
}

func (c *cluster) add(s spec) *labNode {
	c.hosts++
	n := &labNode{key: s.key, name: s.name, server: s.server, memory: s.memory, dir: filepath.Join(c.dir, s.key)}
	if n.name == "" {
		n.name = s.key
	}
	if s.id == 0 {
		s.id = c.hosts
	}
	n.id = fmt.Sprintf("00000000-0000-4000-8000-%012d", s.id)
	if s.server {
		n.args = append(n.args, "-server")
	}
	if s.expect > 0 {
		n.args = append(n.args, fmt.Sprintf("-bootstrap-expect=%d", s.expect))
	}
	if s.bootstrap {
		n.args = append(n.args, "-bootstrap")
	}
	for _, j := range s.join {
		n.args = append(n.args, "-retry-join="+j)
	}
	n.args = append(n.args, s.flags...)
	c.nodes[s.key] = n
	c.order = append(c.order, s.key)
	c.move(n, s.ip)
	return n
}

// move gives a machine an address, a new one if ip is empty.
func (c *cluster) move(n *labNode, ip string) {
	switch {
	case ip != "":
	case n.ip == "":
		ip = fmt.Sprintf("10.0.%d.%d", c.hosts/250, c.hosts%250)
	default:
		a := netip.MustParseAddr(n.ip).As4()
		ip = fmt.Sprintf("10.1.%d.%d", a[2]+1, a[3])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n.ip = ip
	c.names[n.key] = netip.MustParseAddr(ip)
}

func (c *cluster) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.names[host]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, fmt.Errorf("lookup %s: no such host", host)
}

// start starts the agent of a machine.
func (c *cluster) start(n *labNode) error {
	if n.d != nil {
		return errors.New("it runs already")
	}
	n.end.Wait()
	host := c.net.Host(n.ip)
	host.Up()
	args := append([]string{
		"-node=" + n.name, "-node-id=" + n.id, "-bind=" + n.ip, "-http-port=-1", "-dns-port=-1", "-data-dir=" + n.dir,
	}, n.args...)
	settings, _, err := configs.Load(args, machine(n))
	if err != nil {
		return err
	}
	if n.memory {
		settings.Node.ID, settings.Paths.DataDir = n.id, ""
	}
	core, logs := observer.New(zap.InfoLevel)
	if c.core != nil {
		core = zapcore.NewTee(core, c.core)
	}
	n.logs = logs
	d, err := daemon.New(settings, daemon.Options{Logger: zap.New(core).Named(n.key), Network: host, Lookup: c.lookup})
	if err != nil {
		return err
	}
	if err := d.Open(c.t.Context()); err != nil {
		return err
	}
	n.d = d
	return nil
}

// machine is what an agent finds where it runs.
func machine(n *labNode) configs.Host {
	return configs.Host{
		Hostname: func() (string, error) { return n.key, nil },
		Interfaces: func() ([]configs.Interface, error) {
			return []configs.Interface{{Name: "eth0", Addrs: []netip.Addr{netip.MustParseAddr(n.ip)}}}, nil
		},
		Expand: configs.SystemHost().Expand,
	}
}

// stop ends an agent as a signal does that is no leave.
func (c *cluster) stop(n *labNode) error {
	d := n.d
	if d == nil {
		return errors.New("it does not run")
	}
	n.d = nil
	return d.Close()
}

// leave ends an agent with a good-bye.
func (c *cluster) leave(n *labNode) error {
	if n.d == nil {
		return errors.New("it does not run")
	}
	if err := n.d.Leave(c.t.Context()); err != nil {
		return err
	}
	return c.stop(n)
}

// kill ends an agent as SIGKILL does: nobody hears a word of it any more. What
// is left of it in this process is cleared away meanwhile.
func (c *cluster) kill(n *labNode) error {
	d := n.d
	if d == nil {
		return errors.New("it does not run")
	}
	n.d = nil
	c.net.Host(n.ip).Down()
	n.end.Go(func() {
		if err := d.Close(); err != nil {
			c.t.Logf("after its death: %s: %v", n.key, err)
		}
	})
	return nil
}

func (c *cluster) close() {
	if c.asker != nil {
		c.asker.halt()
	}
	if c.scrib != nil {
		c.scrib.halt()
	}
	c.net.HealAll()
	c.net.SetDefault(memnet.Rule{})
	var wg sync.WaitGroup
	for _, n := range c.nodes {
		wg.Go(func() {
			n.end.Wait()
			if n.d == nil {
				return
			}
			if err := n.d.Close(); err != nil {
				c.t.Errorf("close %s: %v", n.key, err)
			}
		})
	}
	wg.Wait()
	time.Sleep(time.Minute) // for the timers of libraries that do not wait
	c.net.Close()
	time.Sleep(time.Minute)
}

// running are the agents that run, in the order in which they were defined.
func (c *cluster) running(servers bool) []*labNode {
	var out []*labNode
	for _, key := range c.order {
		if n := c.nodes[key]; n.d != nil && (n.server || !servers) {
			out = append(out, n)
		}
	}
	return out
}

// leader is the server that leads, and can prove it; nil if there is none.
func (c *cluster) leader() *labNode {
	for _, n := range c.running(true) {
		if !n.d.Store().IsLeader() {
			continue
		}
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		err := n.d.Store().VerifyLeader(ctx)
		cancel()
		if err == nil {
			return n
		}
	}
	return nil
}

// clusterIDs are those of the servers that know one.
func (c *cluster) clusterIDs() []string {
	var ids []string
	for _, n := range c.running(true) {
		if id := n.d.Store().ClusterID(); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

const pollEvery = 50 * time.Millisecond

// await polls until ok.
func (c *cluster) await(within time.Duration, ok func() bool) bool {
	for until := time.Now().Add(within); ; time.Sleep(pollEvery) {
		if ok() {
			return true
		}
		if !time.Now().Before(until) {
			return false
		}
	}
}
