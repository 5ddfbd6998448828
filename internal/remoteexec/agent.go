package remoteexec

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
	"go.uber.org/zap"

	"consul.internal/internal/watch"
)

const (
	// flushEvery is how long output is gathered, since every piece is a write of the
	// servers; people see it soon enough.
	flushEvery = 500 * time.Millisecond
	// pieceSize is how much is gathered at most.
	pieceSize = 4 << 10
	// maxOutput is what is written of one program's output, for the servers' sake.
	maxOutput = 1 << 20
	// maxJobs is how many run at a time; who asks for more is not heard.
	maxJobs = 16
	// failed is the exit code of what could not be run, as shells have it.
	failed = "255"
	// stillWanted is how often a silent program's session is looked at.
	stillWanted = SessionTTL
)

// Agent runs the jobs that it hears of.
type Agent struct {
	Node   string
	Client *api.Client // asks this agent, with the token that is to be used
	Log    *zap.Logger
}

// Run hears of jobs until ctx ends, and returns when those it has started have
// ended. Jobs from before are nobody's any more.
func (a *Agent) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, maxJobs)
	began := false
	_ = watch.Follow(ctx, a.Client, watch.Query{Type: "event", Name: EventName}, watch.Calls{
		Changed: func(ctx context.Context, _ uint64, value any) error {
			events, _ := value.([]*api.UserEvent)
			for _, e := range events {
				if !began {
					break
				}
				select {
				case places <- struct{}{}:
				default:
					a.Log.Warn("a job of consul exec is not run: too many run already")
					continue
				}
				wg.Go(func() {
					defer func() { <-places }()
					if err := a.take(ctx, e.Payload); err != nil && ctx.Err() == nil {
						a.Log.Warn("a job of consul exec failed", zap.Error(err))
					}
				})
			}
			began = true
			return nil
		},
	}) // it ends with ctx only
}

// take runs the job that an event tells of.
func (a *Agent) take(ctx context.Context, payload []byte) error {
	var n notice
	if err := json.Unmarshal(payload, &n); err != nil || !sessionID.MatchString(n.Session) {
		return errors.New("the event's payload names no session")
	}
	n.Prefix = cmp.Or(n.Prefix, DefaultPrefix)
	job, err := a.job(ctx, &n)
	if err != nil {
		return err
	}
	w := &writer{agent: a, session: n.Session, prefix: NodePrefix(n.Prefix, n.Session, a.Node)}
	if err := w.put(ctx, ackName, nil); err != nil {
		return fmt.Errorf("the job cannot be taken: %w", err)
	}
	a.Log.Info("running a job of consul exec", zap.String("session", n.Session), zap.String("command", job.Command), zap.Strings("args", job.Args))
	code := a.run(ctx, job, w)
	return w.put(ctx, exitName, []byte(code))
}

// job reads it: from any server first, which it should have reached by now.
func (a *Agent) job(ctx context.Context, n *notice) (*Job, error) {
	var pair *api.KVPair
	for _, stale := range []bool{true, false} {
		var err error
		pair, _, err = a.Client.KV().Get(JobKey(n.Prefix, n.Session), (&api.QueryOptions{AllowStale: stale}).WithContext(ctx))
		if err == nil && pair != nil && pair.Session == n.Session {
			break
		}
		if !stale && err != nil {
			return nil, fmt.Errorf("the job cannot be read: %w", err)
		}
	}
	if pair == nil || pair.Session != n.Session {
		return nil, errors.New("the job is gone")
	}
	var job Job
	if err := json.Unmarshal(pair.Value, &job); err != nil {
		return nil, fmt.Errorf("the job cannot be understood: %w", err)
	}
	return &job, nil
}

// run runs the program to its end and returns its exit code. It is killed when
// its output cannot be written any more, since then nobody waits for it.
func (a *Agent) run(ctx context.Context, job *Job, w *writer) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args := job.Args
	switch {
	case job.Command != "":
		args = watch.Shell(job.Command)
	case len(job.Script) > 0:
		file, err := scriptFile(job.Script)
		if err != nil {
			return a.refuse(ctx, w, err)
		}
		defer func() { _ = os.Remove(file) }() // the system's temporary files are cleared anyhow
		args = watch.Shell(file)
	case len(args) == 0:
		return a.refuse(ctx, w, errors.New("the job says nothing to run"))
	}
	cmd := watch.Command(ctx, args)
	cmd.Stdout, cmd.Stderr = w, w
	var flusher sync.WaitGroup
	done := make(chan struct{})
	flusher.Go(func() { w.keepFlushing(ctx, cancel, done) })
	err := cmd.Run()
	close(done)
	flusher.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return strconv.Itoa(exit.ExitCode())
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return a.refuse(ctx, w, err)
	}
	return "0"
}

// refuse writes why a job was not run.
func (a *Agent) refuse(ctx context.Context, w *writer, err error) string {
	_, _ = w.Write([]byte(err.Error() + "\n")) // never fails
	if err := w.flush(ctx); err != nil {
		a.Log.Warn("what a job of consul exec says cannot be written", zap.Error(err))
	}
	return failed
}

func scriptFile(text []byte) (string, error) {
	f, err := os.CreateTemp("", "consul-exec-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o700), f.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// writer gathers a program's output and writes it below the session.
type writer struct {
	agent           *Agent
	session, prefix string

	mu      sync.Mutex
	waiting bytes.Buffer
	total   int
	pieces  int // used by who flushes only
}

// Write never blocks the program and never fails; what is too much is dropped.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	room := max(maxOutput-w.total, 0)
	if len(p) > room && room > 0 {
		w.waiting.Write(p[:room])
		w.waiting.WriteString("\n[the rest of the output is left out]\n")
	} else if room > 0 {
		w.waiting.Write(p)
	}
	w.total += len(p)
	return len(p), nil
}

// keepFlushing writes what has gathered until the program is done. When that
// cannot be done, or the session is gone, the program is stopped.
func (w *writer) keepFlushing(ctx context.Context, stop context.CancelFunc, done <-chan struct{}) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	looked := time.Now()
	for {
		select {
		case <-done:
			if err := w.flush(ctx); err != nil {
				w.agent.Log.Warn("the output of a job of consul exec cannot be written", zap.Error(err))
			}
			return
		case <-tick.C:
		}
		err := w.flush(ctx)
		if err == nil && time.Since(looked) > stillWanted {
			looked = time.Now()
			err = w.wanted(ctx)
		}
		if err != nil {
			w.agent.Log.Warn("a job of consul exec is stopped: nobody waits for it", zap.Error(err))
			stop()
			<-done
			return
		}
	}
}

// wanted is an error once the session is gone. A server that does not answer says
// nothing of it.
func (w *writer) wanted(ctx context.Context) error {
	s, _, err := w.agent.Client.Session().Info(w.session, (&api.QueryOptions{}).WithContext(ctx))
	if err == nil && s == nil {
		return errors.New("the session has ended")
	}
	return nil
}

func (w *writer) flush(ctx context.Context) error {
	for {
		w.mu.Lock()
		piece := bytes.Clone(w.waiting.Next(pieceSize))
		w.mu.Unlock()
		if len(piece) == 0 {
			return nil
		}
		if err := w.put(ctx, outName(w.pieces), piece); err != nil {
			return err
		}
		w.pieces++
	}
}

func (w *writer) put(ctx context.Context, name string, value []byte) error {
	pair := &api.KVPair{Key: w.prefix + name, Value: value, Session: w.session}
	ok, _, err := w.agent.Client.KV().Acquire(pair, (&api.WriteOptions{}).WithContext(ctx))
	if err == nil && !ok {
		err = fmt.Errorf("%s is held by another session", pair.Key)
	}
	return err
}
