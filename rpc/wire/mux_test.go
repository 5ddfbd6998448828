package wire_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"consul.internal/internal/fault"
	"consul.internal/rpc/wire"
)

func TestConfig(t *testing.T) {
	for _, cfg := range []wire.Config{{}, {HandshakeTimeout: 1, Conns: -1}, {HandshakeTimeout: 1, ConnsPerAddress: -1}} {
		if _, err := wire.New(cfg, wire.Deps{}); !errors.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestRaftAndCalls(t *testing.T) {
	server := open(t, wire.DefaultConfig(), wire.Deps{ClusterID: cluster(clusterA), NodeID: "one"})
	echo(t, server.Raft())
	echo(t, server.Calls())
	addr := server.Addr().String()
	if server.Raft().Addr().String() != addr || server.Calls().Addr().String() != addr {
		t.Error("raft and calls do not share the port")
	}
	calls := func(m *wire.Mux) error {
		c, err := m.DialCalls(within(t), addr)
		if err != nil {
			return err
		}
		defer c.Close()
		return speak(c)
	}
	for _, tt := range []struct {
		name, cluster, target string
		reason                wire.Reason
		kind                  fault.Kind
		texts                 []string
	}{
		{"same cluster", clusterA, "one", wire.Accepted, "", nil},
		{"no cluster yet", "", "one", wire.Accepted, "", nil},
		{"other cluster", clusterB, "one", wire.OtherCluster, fault.Conflict, []string{clusterA, clusterB, addr}},
		{"other node", clusterA, "two", wire.OtherNode, fault.Unavailable, []string{"one", "two", addr}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := dialer(t, wire.Deps{ClusterID: cluster(tt.cluster), NodeID: "me"})
			if err := calls(m); err != nil {
				t.Errorf("calls: %v", err)
			}
			c, err := m.Raft().Dial(within(t), addr, tt.target)
			if tt.reason == wire.Accepted {
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := speak(c); err != nil {
					t.Error(err)
				}
				return
			}
			refused, ok := errors.AsType[*wire.RefusedError](err)
			if !ok || refused.Reason != tt.reason || !errors.Is(err, tt.kind) {
				t.Fatalf("error %v", err)
			}
			for _, text := range tt.texts {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
		})
	}
}

func TestServerWithoutClusterTakesAll(t *testing.T) {
	server := open(t, wire.DefaultConfig(), wire.Deps{NodeID: "one"})
	echo(t, server.Raft())
	m := dialer(t, wire.Deps{ClusterID: cluster(clusterA), NodeID: "me"})
	c, err := m.Raft().Dial(within(t), server.Addr().String(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(speak(c), c.Close()); err != nil {
		t.Error(err)
	}
}

func TestRaftClosedAlone(t *testing.T) {
	server := open(t, wire.DefaultConfig(), wire.Deps{NodeID: "one"})
	echo(t, server.Calls())
	if err := server.Raft().Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Raft().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	m := dialer(t, wire.Deps{NodeID: "me"})
	if _, err := m.Raft().Dial(within(t), server.Addr().String(), "one"); err == nil || !strings.Contains(err.Error(), "takes no raft streams") {
		t.Errorf("Dial: %v", err)
	}
	c, err := m.DialCalls(within(t), server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(speak(c), c.Close()); err != nil {
		t.Errorf("calls: %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	m := dialer(t, wire.Deps{NodeID: "me"})
	if _, err := m.DialCalls(within(t), "127.0.0.1:1"); !errors.Is(err, fault.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := m.Raft().Dial(within(t), "127.0.0.1:1", strings.Repeat("x", 65)); !errors.Is(err, fault.Invalid) {
		t.Errorf("too long an ID: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.DialCalls(within(t), "127.0.0.1:1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestCloseTwiceAndEarly(t *testing.T) {
	m, err := wire.New(wire.DefaultConfig(), wire.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Error(err)
	}
}

// TestFloodLocksNobodyOut lets one address take all it can and leave it half
// open; another address is served.
func TestFloodLocksNobodyOut(t *testing.T) {
	cfg := wire.DefaultConfig()
	cfg.ConnsPerAddress = 10
	server := open(t, cfg, wire.Deps{NodeID: "one"})
	echo(t, server.Calls())
	from := func(ip string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c, err := d.DialContext(within(t), "tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	var last net.Conn
	for range cfg.ConnsPerAddress + 50 {
		last = from("127.0.0.2")
	}
	if _, err := last.Read(make([]byte, 1)); !closed(err) {
		t.Errorf("a connection past the limit: %v", err)
	}
	c := from("127.0.0.3")
	if _, err := c.Write([]byte{0xc2}); err != nil {
		t.Fatal(err)
	}
	if err := speak(c); err != nil {
		t.Errorf("another address is locked out: %v", err)
	}
	if s := server.Stats(); s.Limited != 50 || s.Accepted != 11 {
		t.Errorf("counts %+v", s)
	}
}

func closed(err error) bool {
	return errors.Is(err, io.EOF) || err != nil && strings.Contains(err.Error(), "reset")
}
