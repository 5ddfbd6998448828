package observe

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"consul.internal/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exchange is a question of a client and its answer.
func exchange(t *testing.T, name string) *Exchange {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	query, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m.Response, m.Rcode = true, dns.RcodeNameError
	reply, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000, 123_456_789)
	return &Exchange{From: netip.MustParseAddrPort("192.0.2.1:5353"), Door: UDP, Asked: at, Answered: at.Add(250 * time.Microsecond), Query: query, Reply: reply}
}

// fields reads a protocol buffer: by field, numbers as they are and bytes as a string.
func fields(t *testing.T, b []byte) map[uint64]any {
	t.Helper()
	out := map[uint64]any{}
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			t.Fatalf("no number in %x", b)
		}
		b = b[n:]
		return v
	}
	for len(b) > 0 {
		tag := number()
		switch tag & 7 {
		case 0:
			out[tag>>3] = number()
		case 2:
			n := number()
			out[tag>>3] = string(b[:n])
			b = b[n:]
		case 5:
			out[tag>>3] = uint64(binary.LittleEndian.Uint32(b))
			b = b[4:]
		default:
			t.Fatalf("field %d has type %d", tag>>3, tag&7)
		}
	}
	return out
}

// receiver is who listens for dnstap: one stream.
type receiver struct {
	c       net.Conn
	stopped bool
}

// accept agrees on what the frames hold.
func (r *receiver) accept(t *testing.T) {
	t.Helper()
	kind, body, err := readControl(r.c)
	if err != nil || kind != controlReady || !bytes.Contains(body, []byte("protobuf:dnstap.Dnstap")) {
		t.Fatalf("%d %q %v, want READY", kind, body, err)
	}
	if _, err := r.c.Write(control(controlAccept, true)); err != nil {
		t.Fatal(err)
	}
	if kind, _, err = readControl(r.c); err != nil || kind != controlStart {
		t.Fatalf("%d %v, want START", kind, err)
	}
}

// next is the next frame, or nil at the stream's end.
func (r *receiver) next(t *testing.T) []byte {
	t.Helper()
	var n [4]byte
	if _, err := io.ReadFull(r.c, n[:]); err != nil {
		t.Fatal(err)
	}
	if size := binary.BigEndian.Uint32(n[:]); size > 0 {
		frame := make([]byte, size)
		if _, err := io.ReadFull(r.c, frame); err != nil {
			t.Fatal(err)
		}
		return frame
	}
	kind, _, err := readControl(io.MultiReader(bytes.NewReader(n[:]), r.c))
	if err != nil || kind != controlStop {
		t.Fatalf("%d %v, want STOP", kind, err)
	}
	r.stopped = true
	if _, err := r.c.Write(control(controlFinish, false)); err != nil {
		t.Fatal(err)
	}
	return nil
}

// Both messages of an exchange arrive, also when who listens comes late or comes back;
// what has been taken arrives before the end.
func TestTap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan net.Conn)
		var up atomic.Bool
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if network != "unix" || address != "/run/tap" {
				t.Errorf("dials %s %s", network, address)
			}
			if !up.Load() {
				return nil, os.ErrNotExist
			}
			here, there := net.Pipe()
			select {
			case calls <- there:
				return here, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		o, err := Open(Config{Tap: Tap{Socket: "/run/tap"}}, Deps{Logger: zap.NewNop(), Identity: "n1", Version: "consul 1", Dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		o.Take(o.Wants(), exchange(t, "early.consul."))
		time.Sleep(time.Minute)
		up.Store(true)
		r := &receiver{c: <-calls}
		r.accept(t)
		for _, want := range []uint64{typeClientQuery, typeClientResponse} {
			tap := fields(t, r.next(t))
			if tap[fieldIdentity] != "n1" || tap[fieldVersion] != "consul 1" || tap[fieldKind] != uint64(1) {
				t.Errorf("dnstap %v", tap)
			}
			e := exchange(t, "early.consul.")
			got := fields(t, []byte(tap[fieldMessage].(string)))
			wanted := map[uint64]any{
				fieldType: want, fieldFamily: uint64(1), fieldProtocol: uint64(1), fieldQueryAddress: "\xc0\x00\x02\x01", fieldQueryPort: uint64(5353),
				fieldQuerySec: uint64(1_700_000_000), fieldQueryNsec: uint64(123_456_789),
			}
			if want == typeClientQuery {
				wanted[fieldQueryMessage] = string(e.Query)
			} else {
				wanted[fieldReplySec], wanted[fieldReplyNsec], wanted[fieldReplyMessage] = uint64(1_700_000_000), uint64(123_706_789), string(e.Reply)
			}
			// The ID is drawn for each message.
			for _, k := range []uint64{fieldQueryMessage, fieldReplyMessage} {
				if s, ok := got[k].(string); ok {
					got[k], wanted[k] = s[2:], wanted[k].(string)[2:]
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(wanted) {
				t.Errorf("got  %v\nwant %v", got, wanted)
			}
		}
		_ = r.c.Close()
		synctest.Wait()
		for range 3 { // the first ones may go with the stream
			o.Take(o.Wants(), exchange(t, "late.consul."))
			synctest.Wait()
		}
		r = &receiver{c: <-calls}
		closed := make(chan error)
		r.accept(t)
		go func() { closed <- o.Close() }()
		n := 0
		for r.next(t) != nil {
			n++
		}
		if err := <-closed; err != nil || n < 2 || !r.stopped {
			t.Errorf("%d frames, %v", n, err)
		}
		_ = r.c.Close()
		c := o.Counts()
		if c.Tapped+c.TapDropped != 4 || c.Tapped < 2 {
			t.Errorf("%+v", c)
		}
	})
}

// Nobody waits for who does not read: what has no room is dropped and counted.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrNotExist }
		o, err := Open(Config{Tap: Tap{Socket: "/run/tap"}}, Deps{Logger: zap.NewNop(), Dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		e := exchange(t, "web.consul.")
		for range queueLen + 100 {
			o.Take(o.Wants(), e)
		}
		if n := o.Counts().TapDropped; n != 100 {
			t.Errorf("%d dropped", n)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		o.Take(o.Wants(), e) // after the end
		big := newQueue()
		e.Reply = make([]byte, 64<<10)
		for range queueLen {
			big.put(e)
		}
		if got := big.bytes.Load(); got > queueBytes || len(big.ch) > queueBytes/len(e.Reply) {
			t.Errorf("%d bytes in %d exchanges", got, len(big.ch))
		}
	})
}

func TestQueryLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dns.log")
	o, err := Open(Config{Log: Log{Path: path, Sample: 1}}, Deps{Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	e := exchange(t, "web\\\"\\010.consul.")
	o.Take(o.Wants(), e)
	e.Query, e.Reply = []byte{1, 2, 3}, nil
	o.Take(o.Wants(), e)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 2 || o.Counts().Logged != 2 {
		t.Fatalf("%q", lines)
	}
	var got, broken entry
	if json.Unmarshal([]byte(lines[0]), &got) != nil || json.Unmarshal([]byte(lines[1]), &broken) != nil {
		t.Fatalf("%q", lines)
	}
	want := entry{Time: e.Asked.UTC(), Client: "192.0.2.1:5353", Door: "udp", Name: "web\\\"\\010.consul.", Type: "A", Status: "NXDOMAIN", Bytes: got.Bytes, Micros: 250, Sample: 1}
	if got != want || got.Bytes == 0 {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if broken.Name != "" || broken.Status != "none" {
		t.Errorf("%+v", broken)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// One question of so many, to the agent's own log.
func TestQueryLogSample(t *testing.T) {
	core, lines := observer.New(zap.InfoLevel)
	o, err := Open(Config{Log: Log{Sample: 10}}, Deps{Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	e := exchange(t, "web.consul.")
	for range 2000 {
		if w := o.Wants(); w.Any() {
			o.Take(w, e)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if n := lines.Len(); n < 100 || n > 320 {
		t.Errorf("%d lines", n)
	}
	if text := lines.All()[0].ContextMap()["name"]; text != "web.consul." {
		t.Errorf("%v", text)
	}
}

func TestOff(t *testing.T) {
	o, err := Open(Config{}, Deps{})
	if o != nil || err != nil || o.Wants().Any() || o.Close() != nil || o.Counts() != (Counts{}) {
		t.Error("it is not off")
	}
	for _, c := range []Config{
		{Tap: Tap{Socket: "relative"}}, {Tap: Tap{Socket: "/" + strings.Repeat("x", 107)}}, {Tap: Tap{Socket: "/x", Sample: -1}},
		{Log: Log{Path: "relative", Sample: 1}}, {Log: Log{Sample: -1}}, {Log: Log{Sample: 1, Keep: -1}}, {Log: Log{Path: "/no/such/folder/x", Sample: 1}},
	} {
		if _, err := Open(c, Deps{Logger: zap.NewNop()}); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func key(t testing.TB, name string, qtype uint16) []byte {
	t.Helper()
	b := make([]byte, 300)
	n, err := dns.PackDomainName(name, b, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return append(b[:n], byte(qtype>>8), byte(qtype))
}

// The names that are asked for most are found among a flood of others, counted not
// too low, and too high by no more than is said.
func TestTop(t *testing.T) {
	top := NewTop()
	now := time.Now().Add(-time.Minute)
	const hot = 30
	asked := map[string]uint64{}
	for i := range 200_000 {
		name := fmt.Sprintf("flood%d.service.consul.", i)
		if i%4 == 0 {
			k := i / 4 % (hot * (hot + 1) / 2) // the n-th name is asked for n times as often
			n := 1
			for k >= n {
				k -= n
				n++
			}
			name = fmt.Sprintf("hot%d.service.consul.", n)
		}
		asked[name]++
		top.Add(key(t, name, dns.TypeSRV), dns.RcodeNameError, 1, now)
	}
	sum := top.Summary(10, now.Add(10*time.Second))
	if sum.Questions != 200_000 || len(sum.Names) != 10 || sum.Seconds != 10 {
		t.Fatalf("%+v", sum)
	}
	for i, c := range sum.Names {
		if want := fmt.Sprintf("hot%d.service.consul.", hot-i); c.Name != want || c.Type != "SRV" || c.Status != "NXDOMAIN" {
			t.Errorf("%d: %+v, want %s", i, c, want)
		}
		if c.Questions < asked[c.Name] || c.Questions-c.Surplus > asked[c.Name] {
			t.Errorf("%+v, was asked for %d times", c, asked[c.Name])
		}
	}
	r := metrics.New(metrics.DefaultConfig())
	top.Publish(r)
	if text := string(r.PrometheusText()); strings.Count(text, "dns_top_questions{") != topShown || strings.Contains(text, "flood") {
		t.Error(text)
	}
}

// Counts are those of the last ten to twenty minutes.
func TestTopForgets(t *testing.T) {
	top, k := NewTop(), key(t, "web.consul.", dns.TypeA)
	now := time.Unix(1e9, 0)
	count := func() uint64 {
		if s := top.Summary(1, now); len(s.Names) > 0 {
			return s.Names[0].Questions
		}
		return 0
	}
	if count() != 0 {
		t.Error("counted before anything was asked")
	}
	for i, want := range []uint64{5, 10, 10, 10} {
		top.Add(k, 0, 5, now)
		if got := count(); got != want {
			t.Errorf("window %d: %d", i, got)
		}
		now = now.Add(windowTime)
	}
	if got := count(); got != 5 {
		t.Errorf("a window later: %d", got)
	}
	if now = now.Add(3 * windowTime); count() != 0 {
		t.Errorf("much later: %d", count())
	}
	if n := testing.AllocsPerRun(100, func() { top.Add(k, 0, 1, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTop(b *testing.B) {
	top, k := NewTop(), key(b, "web0000.service.consul.", dns.TypeA)
	now := time.Unix(1e9, 0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k[4], k[5] = byte('a'+i%26), byte('a'+i/26%26)
		top.Add(k, 0, 1, now)
	}
}
