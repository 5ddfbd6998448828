package daemon

import (
	"bytes"
	"context"
	"reflect"
	"sync"
	"time"

	"consul.internal/configs"
	"consul.internal/configs/definition"
	"consul.internal/internal/remoteexec"
	"consul.internal/internal/watch"
	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"
)

// maxHandlerOutput is how much of what a handler prints is logged.
const maxHandlerOutput = 4 << 10

// watches is what the agent does when data changes: it calls the handlers of its
// configuration, and runs the jobs of consul exec where that is switched on.
type watches struct {
	client *api.Client
	reload func(*configs.Settings) error
	log    *zap.Logger

	life   context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards all of it; what runs only reads client and log
	running []*running
}

// running is one watch that is followed.
type running struct {
	watch  definition.Watch
	cancel context.CancelFunc
}

// open begins to follow.
func (w *watches) open(ctx context.Context, d *Daemon) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	if w.client, w.reload, err = newInside(d.settings, d.httpDeps(), d.tokens.Default); err != nil {
		return err
	}
	w.log = d.log.Named("watch")
	w.life, w.cancel = context.WithCancel(ctx)
	d.onClose("watches", func() error {
		w.cancel()
		w.wg.Wait()
		return nil
	})
	w.set(d.settings.Definitions.Watches)
	if d.settings.RemoteExec {
		client, _, err := newInside(d.settings, d.httpDeps(), d.tokens.Agent) // jobs are the agent's own
		if err != nil {
			return err
		}
		a := &remoteexec.Agent{Node: d.settings.Node.Name, Client: client, Log: d.log.Named("exec")}
		w.wg.Go(func() { a.Run(w.life) })
	}
	return nil
}

// Reload takes over what a new configuration says.
func (w *watches) Reload(s *configs.Settings) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reload == nil {
		return nil // it is not open yet
	}
	w.set(s.Definitions.Watches)
	return w.reload(s)
}

// set follows exactly these. One that was followed before goes on, so that its
// handler is not called for nothing. The caller holds the lock.
func (w *watches) set(wanted []definition.Watch) {
	old := w.running
	w.running = nil
	for _, want := range wanted {
		var r *running
		for i, o := range old {
			if o != nil && reflect.DeepEqual(o.watch, want) {
				r, old[i] = o, nil
				break
			}
		}
		if r == nil {
			ctx, cancel := context.WithCancel(w.life)
			r = &running{want, cancel}
			w.wg.Go(func() { w.follow(ctx, want) })
		}
		w.running = append(w.running, r)
	}
	for _, o := range old {
		if o != nil {
			o.cancel()
		}
	}
}

func (w *watches) follow(ctx context.Context, one definition.Watch) {
	log := w.log.With(zap.String("type", one.Query.Type))
	_ = watch.Follow(ctx, w.client, one.Query, watch.Calls{
		Changed: func(ctx context.Context, index uint64, value any) error {
			out := &head{room: maxHandlerOutput}
			var err error
			if one.URL != nil {
				to := *one.URL
				to.Out = out
				err = to.Run(ctx, index, value)
			} else {
				err = (&watch.Program{Args: one.Args, Out: out, Err: out}).Run(ctx, index, value)
			}
			switch {
			case ctx.Err() != nil: // it was stopped
			case err != nil:
				log.Error("Failed to run watch handler", zap.Error(err), zap.String("output", out.String()))
			default:
				log.Debug("Watch handler output", zap.String("output", out.String()))
			}
			return nil
		},
		Failed: func(err error, again time.Duration) error {
			log.Warn("Watch errored", zap.Error(err), zap.Duration("retry", again))
			return nil
		},
	}) // it ends with ctx only
}

// head keeps the beginning of what is written to it.
type head struct {
	mu   sync.Mutex
	b    bytes.Buffer
	room int
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(p), h.room)
	h.b.Write(p[:n])
	h.room -= n
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}
