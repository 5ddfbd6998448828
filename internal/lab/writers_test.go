//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"consul.internal/internal/rig"
)

// entry is a catalog registration: the service key on a node that is no agent's,
// with a value in its metadata.
func entry(key, value string) map[string]any {
	return map[string]any{
		"Node": "ext-" + key, "Address": "10.9.9.9",
		"Service": map[string]any{"ID": key, "Service": key, "Port": 1, "Meta": map[string]string{"v": value}},
	}
}

// backend registers the service web on a node that is no agent's and lives.
func backend(node, addr string) map[string]any {
	return map[string]any{
		"Node": node, "Address": addr,
		"Service": map[string]any{"ID": "web", "Service": "web", "Port": 80},
		"Check":   map[string]any{"CheckID": "up", "Name": "up", "Status": "passing"},
	}
}

// clock is how the agents' logs tell the time.
const clock = "15:04:05.000"

// webName and webAddrs: what the DNS probes ask, and what is right.
const webName = "web.service.consul."

var webAddrs = []string{"10.9.0.1", "10.9.0.2", "10.9.0.3"}

// backends registers web and waits until every agent that runs answers it.
func (l *lab) backends() {
	l.t.Helper()
	if _, err := await(l.ctx, surely, func(ctx context.Context) error {
		for i, addr := range webAddrs {
			if err := l.any().put(ctx, "/v1/catalog/register", backend(fmt.Sprintf("web%d", i+1), addr)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
	for _, a := range l.agents() {
		if !a.alive() {
			continue
		}
		if _, err := await(l.ctx, surely, func(ctx context.Context) error { return a.answers(ctx, webName, webAddrs...) }); err != nil {
			l.t.Fatal(err)
		}
	}
}

// any is a client, or a server where there is none.
func (l *lab) any() *agent {
	if len(l.clients) > 0 {
		return l.clients[0]
	}
	return l.servers[0]
}

// writers write unique values without end.
type writers struct {
	lab     *lab
	history *rig.History
	stop    context.CancelFunc
	done    sync.WaitGroup
	n       atomic.Int64

	mu    sync.Mutex
	acked map[string]int // last number acknowledged, by key
	errs  map[string]int
}

// write begins n writers at an agent, each with a key of its own.
func (l *lab) write(n int, every time.Duration, at ...*agent) *writers {
	ctx, cancel := context.WithCancel(l.ctx)
	w := &writers{lab: l, history: rig.NewHistory(), stop: cancel, acked: map[string]int{}, errs: map[string]int{}}
	for _, a := range at {
		for i := range n {
			key := fmt.Sprintf("w-%s-%d-%d", a.name, i, time.Now().UnixNano()%1e9)
			w.done.Go(func() { w.run(ctx, a, key, every) })
		}
	}
	return w
}

func (w *writers) run(ctx context.Context, a *agent, key string, every time.Duration) {
	client := int(w.n.Add(1))
	for i := 1; ctx.Err() == nil; i++ {
		value := fmt.Sprint(i)
		call := w.history.Begin(rig.Op{Client: client, Kind: rig.Write, Key: key, Value: value})
		err := a.put(ctx, "/v1/catalog/register", entry(key, value))
		call.Wrote(outcome(err))
		w.mu.Lock()
		if err == nil {
			w.acked[key] = i
		} else if ctx.Err() == nil {
			w.errs[err.Error()]++
		}
		w.mu.Unlock()
		pause(ctx, every)
	}
}

// outcome: a call that met nobody surely did nothing, of all else nothing is known.
func outcome(err error) rig.Outcome {
	switch {
	case err == nil:
		return rig.OK
	case errors.Is(err, syscall.ECONNREFUSED):
		return rig.Fail
	}
	return rig.Unknown
}

// now is the time on the writers' clock.
func (w *writers) now() time.Duration { return w.history.Now() }

// written waits for a write that began after from and was acknowledged, and tells when
// that was.
func (w *writers) written(from time.Duration, limit time.Duration) (time.Duration, error) {
	var at time.Duration
	_, err := await(w.lab.ctx, limit, func(context.Context) error {
		ops := w.history.Ops()
		for i := len(ops) - 1; i >= 0; i-- {
			if op := ops[i]; op.Outcome == rig.OK && op.End > from && (at == 0 || op.End < at) {
				at = op.End
			}
		}
		if at == 0 {
			return errors.New("no write was acknowledged")
		}
		return nil
	})
	return at, err
}

// gapAround lets harm be done, waits until writes go on for a while, and tells
// the longest gap since.
func (w *writers) gapAround(limit time.Duration, harm func()) time.Duration {
	w.lab.t.Helper()
	from, at := w.now(), time.Now().UTC()
	harm()
	harmed := w.now()
	first, err := w.written(harmed, limit)
	if err != nil {
		w.lab.t.Errorf("after the harm: %v; errors seen: %v", err, w.errors())
		return w.now() - from
	}
	// A leader that only seems to be one may still have taken a write: look on.
	pause(w.lab.ctx, 2*time.Second)
	gap := rig.LongestGap(w.history.Ops(), from, max(w.now(), first), nil)
	w.lab.t.Logf("harm at %s took %v, no write for %v until %s", at.Format(clock), (harmed - from).Round(time.Millisecond),
		gap.Length().Round(time.Millisecond), at.Add(gap.To-from).Format(clock))
	return gap.Length()
}

func (w *writers) errors() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for e, n := range w.errs {
		out[e] = n
	}
	return out
}

// end stops writing and judges: what was acknowledged is there, or something
// written later.
func (w *writers) end() {
	t := w.lab.t
	t.Helper()
	w.stop()
	w.done.Wait()
	for key, n := range w.acked {
		var got string
		if _, err := await(w.lab.ctx, surely, func(ctx context.Context) error {
			var err error
			got, err = w.lab.readKey(ctx, w.lab.any(), key, "consistent")
			return err
		}); err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		have := 0
		_, _ = fmt.Sscan(got, &have) // "" is 0: the entry is not there
		if have < n {
			t.Errorf("ACKNOWLEDGED WRITES LOST: %s has %q, acknowledged was %d", key, got, n)
		}
	}
}

// readKey reads the value of a key through an agent, "" if it is not there.
func (l *lab) readKey(ctx context.Context, a *agent, key, mode string) (string, error) {
	var list []struct{ ServiceMeta map[string]string }
	path := "/v1/catalog/service/" + key
	if mode != "" {
		path += "?" + mode
	}
	if err := a.get(ctx, path, &list); err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", nil
	}
	return list[0].ServiceMeta["v"], nil
}
