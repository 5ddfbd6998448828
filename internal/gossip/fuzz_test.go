package gossip

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"
)

// FuzzKeyring: a keyring file that is taken has usable keys and is written as read.
func FuzzKeyring(f *testing.F) {
	f.Add([]byte(`["` + keyA + `","` + keyB + `"]`))
	f.Add([]byte(`["AAAA"]`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := decodeKeyring(data)
		if err != nil {
			return
		}
		if len(keys) == 0 {
			t.Fatal("no keys and no error")
		}
		for _, k := range keys {
			if memberlist.ValidateKey(k) != nil {
				t.Fatalf("a key of %d bytes", len(k))
			}
		}
		out, err := encodeKeyring(keys)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeKeyring(out)
		if err != nil || len(again) != len(keys) {
			t.Fatal(err)
		}
	})
}

// FuzzSnapshot: whatever the file of known members has, the addresses can be used.
func FuzzSnapshot(f *testing.F) {
	f.Add([]byte("alive: a 10.0.0.1:8301\nnot-alive: a\nleave\nclock: 7\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, rejoin bool) {
		known, err := readSnapshot(bytes.NewReader(data), rejoin)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range known {
			if !a.IsValid() {
				t.Fatal(a)
			}
		}
	})
}

// FuzzGuard: bytes for tags and messages of strangers crash nothing, and who is let
// in has a name, an ID and an address.
func FuzzGuard(f *testing.F) {
	tags, err := encode(tagMagic, map[string]string{"id": id(1), "dc": "dc1"})
	if err != nil {
		f.Fatal(err)
	}
	intent, err := encode(msgJoin, struct {
		LTime uint64
		Node  string
	}{3, "a"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a", []byte{10, 0, 0, 1}, uint16(1), tags, intent)
	f.Fuzz(func(t *testing.T, name string, addr []byte, port uint16, meta, msg []byte) {
		cfg := DefaultLAN()
		cfg.Name, cfg.NodeID = "me", id(0)
		g := newGuard(cfg, checkDC, zap.NewNop())
		n := &memberlist.Node{Name: name, Addr: addr, Port: port, Meta: meta}
		if g.NotifyAlive(n) == nil && name != "me" {
			r := g.byName[name]
			if r == nil || r.id == "" || !r.addr.Addr().IsValid() || ValidName(name) != nil || decodeTags(meta)["dc"] != "dc1" {
				t.Fatalf("let in: %q %+v", name, r)
			}
		}
		g.NotifyConflict(&memberlist.Node{Name: name, Addr: addr, Port: port, Meta: meta}, n)
		b := &bouncer{Delegate: nobody{}, guard: g, lookout: newLookout(cfg, g, Deps{})}
		b.NotifyMsg(msg)
		b.MergeRemoteState(msg, true)
	})
}

type nobody struct{ memberlist.Delegate }

func (nobody) NotifyMsg([]byte)              {}
func (nobody) MergeRemoteState([]byte, bool) {}

// TestHostile throws random and damaged bytes at real ports, with and without a
// key: nothing dies, nobody is invented, and the pool still works.
func TestHostile(t *testing.T) {
	for name, keys := range map[string][]string{"plain": nil, "key": {keyA}} {
		t.Run(name, func(t *testing.T) {
			var pools []*Pool
			for i := range 2 {
				cfg := DefaultLAN()
				cfg.Name, cfg.NodeID = string(rune('a'+i)), id(i)
				cfg.Bind = netip.MustParseAddrPort("127.0.0.1:0")
				cfg.Tags = map[string]string{"dc": "dc1"}
				cfg.Encryption.Keys = keys
				p, err := New(cfg, Deps{Logger: zap.NewNop(), Check: checkDC})
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Open(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				pools = append(pools, p)
			}
			events := collect(pools[0])
			target := pools[0].Advertised().String()
			throw(t, target)
			if err := joinAtLast(t.Context(), pools[1], target); err != nil {
				t.Errorf("the pool does not work any more: %v", err)
			}
			for _, e := range events() {
				if e.Kind != User && e.Member.Name != "a" && e.Member.Name != "b" {
					t.Errorf("invented: %+v", e)
				}
			}
			for _, m := range pools[0].Members() {
				if m.Name != "a" && m.Name != "b" {
					t.Errorf("invented: %+v", m)
				}
			}
			if _, err := pools[1].Ping(t.Context(), "a"); err != nil {
				t.Errorf("ping: %v", err)
			}
			if keys == nil {
				// The counter-check: a message of this form with an ID would be seen.
				whole := claim()
				whole.Meta = append([]byte("\xff\x82\xa2dc\xa3dc1\xa2id\xd9\x24"), id(9)...)
				sendUntil(t, target, whole, func() bool { _, ok := pools[0].Member("evil"); return ok })
			}
		})
	}
}

// joinAtLast joins as soon as there is room again for a connection from this
// address: those of the strangers are still being closed.
func joinAtLast(ctx context.Context, p *Pool, target string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := p.Join(ctx, []string{target}, true)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// msgAlive is memberlist's number of the message that says that somebody lives.
const msgAlive = 4

// alive is that message.
type alive struct {
	Incarnation uint32
	Node        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Vsn         []uint8
}

// claim is the message of somebody who does not say who he is.
func claim() alive {
	return alive{1, "evil", []byte{127, 0, 0, 1}, 1, []byte("\xff\x81\xa2dc\xa3dc1"), []uint8{1, 5, 2, 2, 5, 4}}
}

func sendUntil(t *testing.T, target string, m alive, seen func() bool) {
	t.Helper()
	udp, err := net.Dial("udp", target)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	packet, err := encode(msgAlive, m)
	if err != nil {
		t.Fatal(err)
	}
	again, end := time.NewTicker(10*time.Millisecond), time.After(10*time.Second)
	defer again.Stop()
	for !seen() {
		_, _ = udp.Write(packet) // lost ones are sent again
		select {
		case <-again.C:
		case <-end:
			t.Fatal("a well-formed member was not seen: the test sees nothing")
		}
	}
}

// throw sends messages that begin as true ones do and go on at random.
func throw(t *testing.T, target string) {
	chance := rand.New(rand.NewPCG(1, 2))
	udp, err := net.Dial("udp", target)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	good, err := encode(msgAlive, claim())
	if err != nil {
		t.Fatal(err)
	}
	message := func() []byte {
		b := make([]byte, 1+chance.IntN(600))
		for i := range b {
			b[i] = byte(chance.Uint32())
		}
		switch chance.IntN(3) {
		case 0:
			b[0] = byte(chance.IntN(16))
		case 1:
			b = bytes.Clone(good)
			for range chance.IntN(4) {
				b[chance.IntN(len(b))] = byte(chance.Uint32())
			}
		}
		return b
	}
	for range 20000 {
		_, _ = udp.Write(message()) // the kernel may refuse some
	}
	for range 500 {
		c, err := net.DialTimeout("tcp", target, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(message()) // the other end may hang up
		_ = c.Close()
	}
}
