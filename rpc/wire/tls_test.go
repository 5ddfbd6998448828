package wire_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"consul.internal/internal/tlsx"
	"consul.internal/rpc/wire"
)

// TestTLSMatrix: every kind of certificate with every version of TLS against a
// server that verifies, for raft and for calls.
func TestTLSMatrix(t *testing.T) {
	p := pki{t, t.TempDir()}
	ca, caFile := p.authority("ca")
	wrong, _ := p.authority("wrong")
	right := p.cert(ca, "right", tlsx.Server, "dc1", -time.Hour, time.Hour)
	cells := []struct {
		name        string
		part        tlsx.Part
		calls, raft bool
	}{
		{"no certificate", tlsx.Part{}, false, false},
		{"wrong authority", p.cert(wrong, "wrong-ca", tlsx.Server, "dc1", -time.Hour, time.Hour), false, false},
		{"expired", p.cert(ca, "expired", tlsx.Server, "dc1", -2*time.Hour, -time.Hour), false, false},
		{"not yet valid", p.cert(ca, "early", tlsx.Server, "dc1", time.Hour, 2*time.Hour), false, false},
		{"a client's", p.cert(ca, "client", tlsx.Client, "dc1", -time.Hour, time.Hour), true, false},
		{"other datacenter", p.cert(ca, "dc2", tlsx.Server, "dc2", -time.Hour, time.Hour), true, false},
		{"right", right, true, true},
	}
	for _, lowest := range []string{"", "TLSv1_0"} {
		own := right
		own.CAFile, own.VerifyIncoming, own.MinVersion = caFile, true, lowest
		server := open(t, wire.DefaultConfig(), wire.Deps{TLS: p.door(own), ClusterID: cluster(clusterA), NodeID: "one"})
		echo(t, server.Raft())
		echo(t, server.Calls())
		for version, v := range map[string]uint16{"TLSv1_0": tls.VersionTLS10, "TLSv1_1": tls.VersionTLS11, "TLSv1_2": tls.VersionTLS12, "TLSv1_3": tls.VersionTLS13} {
			spoken := lowest != "" || v >= tls.VersionTLS12
			for _, tt := range cells {
				t.Run(fmt.Sprintf("lowest %q/%s/%s", lowest, version, tt.name), func(t *testing.T) {
					door := p.door(with(tt.part, caFile))
					if got := stranger(t, door, v, server.Addr().String(), raftHello("one")); got != (spoken && tt.raft) {
						t.Errorf("raft let in: %v", got)
					}
					if got := stranger(t, door, v, server.Addr().String(), "\xc2"); got != (spoken && tt.calls) {
						t.Errorf("calls let in: %v", got)
					}
				})
			}
		}
	}
}

func with(p tlsx.Part, caFile string) tlsx.Part {
	p.CAFile, p.VerifyServerHostname = caFile, true
	return p
}

// raftHello is a raft stream's beginning for a node, by hand.
func raftHello(to string) string {
	return "\xc1\x01\x00" + string(rune(3+len(to))) + "\x00\x00" + string(rune(len(to))) + to
}

// stranger speaks one version of TLS and says whether the server talks to it.
func stranger(t *testing.T, d *tlsx.Door, version uint16, addr, first string) bool {
	t.Helper()
	cfg := d.Client(d.ServerName(""))
	cfg.MinVersion, cfg.MaxVersion = version, version
	c, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		return false
	}
	defer c.Close()
	if _, err := io.WriteString(c, first); err != nil {
		return false
	}
	if strings.HasPrefix(first, "\xc1") {
		var a [2]byte
		if _, err := io.ReadFull(c, a[:]); err != nil || a != [2]byte{} {
			return false
		}
	}
	return speak(c) == nil
}

func TestDialsWithTLS(t *testing.T) {
	p := pki{t, t.TempDir()}
	ca, caFile := p.authority("ca")
	own := with(p.cert(ca, "server", tlsx.Server, "dc1", -time.Hour, time.Hour), caFile)
	own.VerifyIncoming = true
	server := open(t, wire.DefaultConfig(), wire.Deps{TLS: p.door(own), NodeID: "one"})
	echo(t, server.Raft())
	echo(t, server.Calls())
	addr := server.Addr().String()
	client := with(p.cert(ca, "client", tlsx.Client, "dc1", -time.Hour, time.Hour), caFile)
	for _, tt := range []struct {
		name  string
		door  *tlsx.Door
		raft  string // a part of the error; "" = none
		calls bool
	}{
		{"server", p.door(own), "", true},
		{"client", p.door(client), "server.dc1.consul", true},
		{"plain", nil, "takes only TLS", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := dialer(t, wire.Deps{TLS: tt.door, NodeID: "me"})
			c, err := m.Raft().Dial(within(t), addr, "one")
			if tt.raft != "" {
				if _, ok := errors.AsType[*wire.RefusedError](err); !ok || !strings.Contains(err.Error(), tt.raft) {
					t.Errorf("raft: %v", err)
				}
			} else if err != nil || speak(c) != nil || c.Close() != nil {
				t.Errorf("raft: %v", err)
			}
			c, err = m.DialCalls(within(t), addr)
			if err != nil {
				t.Fatal(err)
			}
			if err := speak(c); (err == nil) != tt.calls {
				t.Errorf("calls: %v", err)
			}
			_ = c.Close()
		})
	}
	m := dialer(t, wire.Deps{TLS: p.door(own), NodeID: "me"})
	if _, err := m.DialCallsIn(within(t), "dc2", addr); err == nil || !strings.Contains(err.Error(), "server.dc2.consul") {
		t.Errorf("a server of another datacenter than meant: %v", err)
	}
}

func TestTLSThatIsNotThere(t *testing.T) {
	p := pki{t, t.TempDir()}
	_, caFile := p.authority("ca")
	server := open(t, wire.DefaultConfig(), wire.Deps{NodeID: "one"})
	m := dialer(t, wire.Deps{TLS: p.door(tlsx.Part{CAFile: caFile, VerifyOutgoing: true}), NodeID: "me"})
	if _, err := m.DialCalls(within(t), server.Addr().String()); err == nil || !strings.Contains(err.Error(), "TLS handshake") {
		t.Errorf("error %v", err)
	}
}

// TestReloadKeepsStreams: new certificates are for new connections; those that
// stand go on.
func TestReloadKeepsStreams(t *testing.T) {
	p := pki{t, t.TempDir()}
	ca, caFile := p.authority("ca")
	next, nextFile := p.authority("next")
	cfg := func(a *tlsx.Authority, name, file string) tlsx.Config {
		part := with(p.cert(a, name, tlsx.Server, "dc1", -time.Hour, time.Hour), file)
		part.VerifyIncoming = true
		return tlsx.Config{Datacenter: "dc1", Domain: "consul", InternalRPC: part}
	}
	s, err := tlsx.New(cfg(ca, "a", caFile))
	if err != nil {
		t.Fatal(err)
	}
	server := open(t, wire.DefaultConfig(), wire.Deps{TLS: s.InternalRPC, NodeID: "one"})
	echo(t, server.Raft())
	dial := func() net.Conn {
		c, err := server.Raft().Dial(within(t), server.Addr().String(), "one")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	before := dial()
	if err := s.Reload(cfg(next, "b", nextFile)); err != nil {
		t.Fatal(err)
	}
	after := dial()
	if err := errors.Join(speak(before), speak(after)); err != nil {
		t.Error(err)
	}
	if got := after.(*tls.Conn).ConnectionState().PeerCertificates[0].Issuer.CommonName; got != "next" {
		t.Errorf("a new connection has the certificate of %q", got)
	}
}
