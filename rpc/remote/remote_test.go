package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
)

// TestEcho: what is sent arrives as it was, empty and absent told apart.
func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close(t)
		for name, in := range map[string]*thing{
			"zero":  {},
			"empty": {Bytes: []byte{}, List: []string{}, Map: map[string]string{}, Free: map[string]any{}},
			"full": {
				Text: "täxt\n\x00", Bytes: []byte{0, 255}, List: []string{"", "b"}, Map: map[string]string{"k": ""},
				Free: map[string]any{"n": 1.5, "s": "x", "b": true, "nil": nil, "l": []any{"a", 2.25}, "m": map[string]any{"deep": []any{}}},
				When: time.Date(2026, 2, 3, 4, 5, 6, 123456789, time.UTC), For: 90 * time.Second,
				Pointer: &thing{Text: "inner"},
			},
			"not UTF-8": {Text: "a\xff\xfeb"},
		} {
			out, err := rpc.Call(t.Context(), p.conn, echo, in)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if diff := cmp.Diff(in, out); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
}

// TestErrors: every kind and every text arrive as they were.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close(t)
		for _, kind := range []fault.Kind{
			"", fault.Invalid, fault.Denied, fault.NotFound, fault.Conflict, fault.NotLeader, fault.NoLeader,
			fault.NoRoute, fault.Unavailable, fault.RateLimited, fault.Unknown,
		} {
			for _, text := range []string{"", "No cluster leader", "50 % of\tthis\r\nis ü\x00%", strings.Repeat("x", 10000)} {
				p.handler.failWith = errors.New(text)
				if kind != "" {
					p.handler.failWith = fmt.Errorf("%w", fault.With(kind, p.handler.failWith))
				}
				_, err := rpc.Call(t.Context(), p.conn, fail, &thing{})
				if err == nil || fault.Of(err) != kind || err.Error() != text || remote.Lost(err) {
					t.Errorf("kind %q, text %.40q: got %q, %.80q", kind, text, fault.Of(err), err)
				}
			}
		}
		p.handler.failWith = fault.With(fault.Kind("of a later version"), errors.New("odd"))
		if _, err := rpc.Call(t.Context(), p.conn, fail, &thing{}); err == nil || err.Error() != "odd" {
			t.Errorf("unknown kind: %v", err)
		}
		for name, tt := range map[string]struct {
			err  error
			want fault.Kind
		}{
			"unknown method":    {p.conn.Call(t.Context(), "No.Such", &rpc.Empty{}, &rpc.Empty{}), fault.NotFound},
			"panic":             {p.conn.Call(t.Context(), crash.Name, &thing{}, &rpc.Empty{}), ""},
			"wrong request":     {p.conn.Call(t.Context(), echo.Name, &struct{ Text int }{7}, &thing{}), fault.Invalid},
			"request too large": {p.conn.Call(t.Context(), echo.Name, &thing{Bytes: make([]byte, 9<<20)}, &thing{}), fault.Invalid},
			"reply too large":   {p.conn.Call(t.Context(), large.Name, &thing{}, &thing{}), fault.Invalid},
			"not to be encoded": {p.conn.Call(t.Context(), echo.Name, &thing{Free: map[string]any{"c": make(chan int)}}, &thing{}), fault.Invalid},
		} {
			if tt.err == nil || fault.Of(tt.err) != tt.want || remote.Lost(tt.err) {
				t.Errorf("%s: %q %v, want the kind %q", name, fault.Of(tt.err), tt.err, tt.want)
			}
		}
		if _, err := rpc.Call(t.Context(), p.conn, echo, &thing{Text: "still there"}); err != nil {
			t.Error(err)
		}
	})
}

// TestLost: a call that never left is told apart from one whose outcome nobody knows.
func TestLost(t *testing.T) {
	for name, tt := range map[string]struct {
		before, during func(p *pair)
		kind           fault.Kind
		sent           bool
		atMost         time.Duration
	}{
		"refused":              {before: func(p *pair) { p.net.Host("10.0.0.1").Down() }, kind: fault.Unavailable, atMost: time.Second},
		"no answer to a dial":  {before: func(p *pair) { p.net.Cut("10.0.0.1", "10.0.0.2") }, kind: fault.Unavailable, atMost: 2 * time.Second},
		"killed during a call": {during: func(p *pair) { p.net.Host("10.0.0.1").Down() }, kind: fault.Unknown, sent: true, atMost: 2 * time.Second},
		"cut during a call":    {during: func(p *pair) { p.net.Cut("10.0.0.1", "10.0.0.2") }, kind: fault.Unknown, sent: true, atMost: 3 * time.Second},
		"deaf during a call":   {during: func(p *pair) { p.net.CutOneWay("10.0.0.2", "10.0.0.1") }, kind: fault.Unknown, sent: true, atMost: 3 * time.Second},
		"closed":               {before: func(p *pair) { _ = p.conn.Close() }, kind: fault.Unavailable},
		"server closed":        {during: func(p *pair) { _ = p.server.Close() }, kind: fault.Unknown, sent: true, atMost: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				defer p.close(t)
				if tt.before != nil {
					tt.before(p)
				}
				result := make(chan error, 1)
				start := time.Now()
				go func() {
					_, err := rpc.Call(t.Context(), p.conn, hang, &thing{})
					result <- err
				}()
				synctest.Wait()
				if tt.during != nil {
					time.Sleep(time.Second)
					start = time.Now()
					tt.during(p)
				}
				err := <-result
				lost, ok := errors.AsType[*remote.LostError](err)
				if !ok || fault.Of(err) != tt.kind || lost.Sent != tt.sent {
					t.Errorf("kind %q, %+v: %v", fault.Of(err), lost, err)
				}
				if took := time.Since(start); took > tt.atMost {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// TestQuietCallLives: a call that waits long is left alone while its server lives,
// and nothing is sent where no call is under way.
func TestQuietCallLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close(t)
		p.net.SetLink("10.0.0.1", "10.0.0.2", memnetDelay(200*time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		start := time.Now()
		_, err := rpc.Call(ctx, p.conn, hang, &thing{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		<-p.handler.ended
		time.Sleep(10 * time.Second)
		before := p.net.Total()
		time.Sleep(30 * time.Second)
		if after := p.net.Total(); after != before {
			t.Errorf("traffic without calls: %+v, then %+v", before, after)
		}
	})
}

// TestCancel: who gives up ends the operation at the server.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close(t)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := rpc.Call(ctx, p.conn, hang, &thing{})
			result <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) || !errors.Is(err, fault.Unknown) {
			t.Error(err)
		}
		synctest.Wait()
		select {
		case err := <-p.handler.ended:
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		default:
			t.Error("the operation goes on at the server")
		}
	})
}

// TestComesBack: the next call after a loss connects anew within about a second.
func TestComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close(t)
		p.net.Host("10.0.0.1").Down()
		for range 100 { // however often it was tried in vain
			if _, err := rpc.Call(t.Context(), p.conn, echo, &thing{}); !errors.Is(err, fault.Unavailable) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		p.net.Host("10.0.0.1").Up()
		time.Sleep(1300 * time.Millisecond)
		if _, err := rpc.Call(t.Context(), p.conn, echo, &thing{}); err != nil {
			t.Error(err)
		}
	})
}

func TestHops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close(t)
		for given, want := range map[int]time.Duration{0: 1, 1: 1, 2: 2, remote.MaxHop: remote.MaxHop, remote.MaxHop + 1: remote.MaxHop, -1: 1} {
			out, err := rpc.Call(remote.WithHop(t.Context(), given), p.conn, hops, &thing{})
			if err != nil || out.For != want {
				t.Errorf("hop %d arrives as %d, want %d (%v)", given, out.For, want, err)
			}
		}
	})
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close(t)
		talk, err := rpc.Begin(t.Context(), p.conn, talks)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			in := &thing{Text: fmt.Sprint(i), List: []string{}}
			if err := talk.Send(in); err != nil {
				t.Fatal(err)
			}
			if out, err := talk.Recv(); err != nil || !cmp.Equal(in, out) {
				t.Fatalf("%+v, %v", out, err)
			}
		}
		for text, want := range map[string]error{"end": io.EOF, "fail": fault.Denied} {
			talk, err := rpc.Begin(t.Context(), p.conn, talks)
			if err != nil {
				t.Fatal(err)
			}
			if err := talk.Send(&thing{Text: text}); err != nil {
				t.Fatal(err)
			}
			if _, err := talk.Recv(); !errors.Is(err, want) {
				t.Errorf("%s: %v", text, err)
			}
			if err := talk.Send(&thing{}); err == nil {
				t.Errorf("%s: Send after the end succeeds", text)
			}
		}
		unknown, err := rpc.Begin(t.Context(), p.conn, rpc.Stream[thing, thing]{Name: "No.Such"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unknown.Recv(); !errors.Is(err, fault.NotFound) {
			t.Errorf("unknown stream: %v", err)
		}
		// One who does not read holds up nobody else.
		slow, err := rpc.Begin(t.Context(), p.conn, talks)
		if err != nil {
			t.Fatal(err)
		}
		if err := slow.Send(&thing{Text: "flood", Bytes: make([]byte, 100_000)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := talk.Send(&thing{}); err != nil {
			t.Fatal(err)
		}
		if _, err := talk.Recv(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(slow.Close(), talk.Close(), talk.Close()); err != nil {
			t.Error(err)
		}
		if _, err := talk.Recv(); !errors.Is(err, fault.Unavailable) {
			t.Errorf("Recv after Close: %v", err)
		}
		// A conversation whose server falls silent is lost, without an unknown outcome.
		cut, err := rpc.Begin(t.Context(), p.conn, talks)
		if err != nil {
			t.Fatal(err)
		}
		p.net.Cut("10.0.0.1", "10.0.0.2")
		start := time.Now()
		if _, err := cut.Recv(); !errors.Is(err, fault.Unavailable) || !remote.Lost(err) || time.Since(start) > 3*time.Second {
			t.Errorf("cut: %v after %v", err, time.Since(start))
		}
	})
}

// TestFrozen: a server that accepts and never says a word costs a second, not more.
func TestFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, func(context.Context, string) (net.Conn, error) {
			mine, theirs := net.Pipe()
			t.Cleanup(func() { _ = theirs.Close() })
			return mine, nil
		})
		start := time.Now()
		_, err := rpc.Call(t.Context(), c, echo, &thing{})
		if !errors.Is(err, fault.Unavailable) || time.Since(start) > 1500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		start = time.Now()
		if _, err := rpc.Call(t.Context(), c, echo, &thing{}); !errors.Is(err, fault.Unavailable) || time.Since(start) > 0 {
			t.Errorf("the second call: %v after %v", err, time.Since(start))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRetire: a conn that is no longer wanted lets its calls end.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close(t)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := rpc.Call(ctx, p.conn, hang, &thing{})
			result <- err
		}()
		synctest.Wait()
		p.conn.Retire()
		time.Sleep(time.Minute)
		select {
		case err := <-result:
			t.Fatalf("the call was ended: %v", err)
		default:
		}
		cancel()
		<-result
		synctest.Wait() // a ping may be under way
		if _, err := rpc.Call(t.Context(), p.conn, echo, &thing{}); !errors.Is(err, fault.Unavailable) {
			t.Errorf("after the last call: %v", err)
		}
	})
}

// TestStrangers: what is no call at all harms nobody.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close(t)
		chance := rand.New(rand.NewPCG(1, 2))
		for i := range 200 {
			c, err := p.net.Host("10.0.0.3").Dial(t.Context(), serverAddr)
			if err != nil {
				t.Fatal(err)
			}
			var data []byte
			if i%2 == 0 {
				data = []byte(http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
			}
			for range chance.IntN(500) {
				data = append(data, byte(chance.Uint32()))
			}
			_, _ = c.Write(data) // the server may have hung up already
			if i%3 == 0 {
				_ = c.Close()
			} else {
				defer c.Close()
			}
		}
		time.Sleep(10 * time.Second)
		if _, err := rpc.Call(t.Context(), p.conn, echo, &thing{}); err != nil {
			t.Error(err)
		}
	})
}
