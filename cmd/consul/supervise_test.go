package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// fakeAgent records what the supervisor does to it.
type fakeAgent struct {
	calls   []string
	openErr error
	leave   func()
	hang    time.Duration // how long open takes
	done    chan struct{}
	doneErr error
}

func (f *fakeAgent) process() *process {
	f.done = make(chan struct{})
	return &process{
		open: func(ctx context.Context) error {
			select {
			case <-time.After(f.hang):
			case <-ctx.Done():
				return ctx.Err()
			}
			f.calls = append(f.calls, "open")
			return f.openErr
		},
		reload: func(context.Context) error {
			f.calls = append(f.calls, "reload")
			time.Sleep(time.Second)
			return errors.New("broken file")
		},
		leave: func(context.Context) error {
			f.calls = append(f.calls, "leave")
			if f.leave != nil {
				f.leave()
			}
			return nil
		},
		close:  func() error { f.calls = append(f.calls, "close"); return nil },
		done:   f.done,
		err:    func() error { return f.doneErr },
		notify: func(s string) { f.calls = append(f.calls, s) },
		log:    zap.NewNop(),
	}
}

func TestSupervise(t *testing.T) {
	type at struct {
		after time.Duration
		sig   os.Signal
	}
	tests := []struct {
		name      string
		agent     fakeAgent
		signals   []at
		ends      bool // by itself, after 10 s
		interrupt bool // leaves on interrupt
		terminate bool // leaves on terminate
		code      int
		err       string
		calls     string
	}{
		{name: "server interrupted", signals: []at{{time.Second, os.Interrupt}}, code: 1, calls: "open READY=1 STOPPING=1 close"},
		{name: "client interrupted", interrupt: true, signals: []at{{time.Second, os.Interrupt}}, code: 0, calls: "open READY=1 STOPPING=1 leave close"},
		{name: "server terminated", signals: []at{{time.Second, syscall.SIGTERM}}, code: 0, calls: "open READY=1 STOPPING=1 close"},
		{name: "client terminated", terminate: true, signals: []at{{time.Second, syscall.SIGTERM}}, code: 0, calls: "open READY=1 STOPPING=1 leave close"},
		{name: "left over the API", ends: true, code: 0, calls: "open READY=1 STOPPING=1 close"},
		{name: "cannot go on", agent: fakeAgent{doneErr: errors.New("corrupt log")}, ends: true, code: 1, calls: "open READY=1 STOPPING=1 close"},
		{name: "does not start", agent: fakeAgent{openErr: errors.New("port taken")}, code: 1, err: "port taken", calls: "open close"},
		{name: "interrupted while starting", agent: fakeAgent{hang: time.Hour}, interrupt: true, signals: []at{{time.Second, os.Interrupt}}, code: 0, calls: "STOPPING=1 close"},
		{name: "hangs up", signals: []at{{time.Second, syscall.SIGHUP}, {5 * time.Second, syscall.SIGTERM}}, code: 0, calls: "open READY=1 reload STOPPING=1 close"},
		{name: "two hang-ups in a row", signals: []at{{time.Second, syscall.SIGHUP}, {0, syscall.SIGHUP}, {0, syscall.SIGHUP}, {5 * time.Second, syscall.SIGTERM}}, code: 0, calls: "open READY=1 reload reload STOPPING=1 close"},
		{name: "hang-up while starting", agent: fakeAgent{hang: 2 * time.Second}, signals: []at{{time.Second, syscall.SIGHUP}, {5 * time.Second, syscall.SIGTERM}}, code: 0, calls: "open READY=1 STOPPING=1 close"},
		{name: "hang-up while leaving", agent: fakeAgent{leave: func() { time.Sleep(time.Minute) }}, terminate: true, signals: []at{{time.Second, syscall.SIGTERM}, {time.Second, syscall.SIGHUP}}, code: 0, calls: "open READY=1 STOPPING=1 leave close"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := tt.agent.process()
				p.leaveOnInterrupt, p.leaveOnTerminate = tt.interrupt, tt.terminate
				signals := make(chan os.Signal, signalQueue)
				go func() {
					for _, s := range tt.signals {
						time.Sleep(s.after)
						signals <- s.sig
					}
					if tt.ends {
						time.Sleep(10 * time.Second)
						close(tt.agent.done)
					}
				}()
				code, err := p.supervise(signals)
				if code != tt.code || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("ended with %d and %v, want %d and %q", code, err, tt.code, tt.err)
				}
				if got := strings.Join(tt.agent.calls, " "); got != tt.calls {
					t.Errorf("did %q, want %q", got, tt.calls)
				}
			})
		})
	}
}

func TestSecondSignalForcesTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fakeAgent{leave: func() { <-release }}
		p := f.process()
		p.leaveOnTerminate = true
		signals := make(chan os.Signal, signalQueue)
		go func() {
			for range 2 {
				time.Sleep(time.Second)
				signals <- syscall.SIGTERM
			}
		}()
		code, err := p.supervise(signals)
		if code != 1 || !errors.Is(err, errForced) {
			t.Errorf("ended with %d and %v", code, err)
		}
		close(release)
		synctest.Wait()
		if got := strings.Join(f.calls, " "); got != "open READY=1 STOPPING=1 leave close" {
			t.Errorf("did %q", got)
		}
	})
}

// TestChangeWhileStarting: a file that changes while the agent starts is read once it has.
func TestChangeWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := fakeAgent{hang: 2 * time.Second}
		p := agent.process()
		changed, signals := make(chan struct{}, 1), make(chan os.Signal, signalQueue)
		p.changed = changed
		go func() {
			time.Sleep(time.Second)
			changed <- struct{}{}
			time.Sleep(10 * time.Second)
			signals <- syscall.SIGTERM
		}()
		if code, err := p.supervise(signals); code != 0 || err != nil {
			t.Errorf("%d, %v", code, err)
		}
		if got := strings.Join(agent.calls, " "); got != "open READY=1 reload STOPPING=1 close" {
			t.Errorf("did %q", got)
		}
	})
}
