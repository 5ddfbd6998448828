package daemon_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consul.internal/configs"
	"consul.internal/daemon"
	"consul.internal/internal/logx"
	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// node is an agent in this process, on a loopback address of its own.
type node struct {
	*daemon.Daemon
	addr   string
	client *api.Client
	args   []string
}

// freeAddr picks a loopback address on which the agent's ports are free, so that
// test processes side by side do not meet.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(64), 1+rand.IntN(254), 1+rand.IntN(254))
		l, err := net.Listen("tcp", addr+":8300")
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return addr
	}
	t.Fatal("no free loopback address")
	return ""
}

// start opens an agent and waits until it leads. Its files are in dir.
func start(t *testing.T, addr string, args ...string) *node {
	t.Helper()
	n := launch(t, addr, "", args...)
	n.await(t, "a leader that stands in the catalog", func() bool {
		services, _, err := n.client.Health().Service("consul", "", true, nil)
		return err == nil && len(services) == 1
	})
	return n
}

// launch opens an agent and waits for nothing. Its client brings a token.
func launch(t *testing.T, addr, token string, args ...string) *node {
	t.Helper()
	return launchAt(t, "DEBUG", addr, token, args...)
}

// launchAt is launch with a log that holds less.
func launchAt(t *testing.T, level, addr, token string, args ...string) *node {
	t.Helper()
	args = append([]string{"-bind=" + addr, "-client=" + addr, "-node=node-a"}, args...)
	settings, _, err := configs.Load(args, configs.SystemHost())
	if err != nil {
		t.Fatal(err)
	}
	log, err := logx.New(logx.Config{Level: level, Name: "agent"}, testWriter{t})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{addr: addr, args: args}
	n.Daemon, err = daemon.New(settings, daemon.Options{Logger: log.Logger, Monitor: log.Listen, Reload: func(context.Context) error {
		next, _, err := configs.Load(args, configs.SystemHost())
		if err != nil {
			return err
		}
		return n.Reload(next)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		_ = log.Close() // only lines that a failed test did not want to see
	})
	n.client, err = api.NewClient(&api.Config{Address: addr + ":8500", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// await polls until ok, for as long as any machine may need.
func (n *node) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// dig asks the agent's DNS door.
func (n *node) dig(t *testing.T, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	r, _, err := new(dns.Client).ExchangeContext(t.Context(), m, netip.MustParseAddr(n.addr).String()+":8600")
	if err != nil {
		t.Fatalf("dig %s: %v", name, err)
	}
	return r
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
