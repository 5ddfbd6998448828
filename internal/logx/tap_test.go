package logx

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"consul.internal/internal/fault"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func newQuiet(t *testing.T, w io.Writer) *Logger {
	t.Helper()
	l, err := New(Config{Level: "WARN", Name: "agent"}, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// next takes the lines that are there.
func next(l *Listener) []string {
	var out []string
	for {
		select {
		case line := <-l.Lines():
			out = append(out, string(line))
		default:
			return out
		}
	}
}

func TestListenerHearsWhatTheLogDoesNot(t *testing.T) {
	var b strings.Builder
	l := newQuiet(t, &b)
	named := l.Named("dns").With(zap.String("k", "v"))
	named.Debug("before")
	text, err := l.Listen(zapcore.DebugLevel, false)
	if err != nil {
		t.Fatal(err)
	}
	json, err := l.Listen(zapcore.WarnLevel, true)
	if err != nil {
		t.Fatal(err)
	}
	named.Log(Trace, "too fine")
	named.Debug("fine")
	named.Warn("coarse")
	got := next(text)
	if len(got) != 2 || !strings.HasSuffix(got[0], " [DEBUG] agent.dns: fine: k=v\n") || !strings.Contains(got[1], "[WARN]  agent.dns: coarse") {
		t.Errorf("text: %q", got)
	}
	if got := next(json); len(got) != 1 || !strings.Contains(got[0], `"@message":"coarse"`) || !strings.HasSuffix(got[0], "}\n") {
		t.Errorf("json: %q", got)
	}
	if !l.Core().Enabled(zapcore.DebugLevel) {
		t.Error("DEBUG is off while somebody listens to it")
	}
	text.Close()
	text.Close()
	if l.Core().Enabled(zapcore.DebugLevel) || !l.Core().Enabled(zapcore.WarnLevel) {
		t.Error("the levels after the listener has gone")
	}
	named.Warn("after")
	if got := next(text); got != nil {
		t.Errorf("a closed listener hears %q", got)
	}
	if got := next(json); len(got) != 1 {
		t.Errorf("the other hears %q", got)
	}
	json.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); strings.Contains(got, "fine") || strings.Count(got, "\n") != 2 {
		t.Errorf("the log itself: %q", got)
	}
}

func TestSlowListenerLosesLinesAndHearsOfIt(t *testing.T) {
	l := newQuiet(t, io.Discard)
	n, err := l.Listen(zapcore.InfoLevel, false)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.Missed() != nil {
		t.Error("missed lines before there were any")
	}
	for range listenerQueue + 5 {
		l.Info(strings.Repeat("x", 2*maxLine))
	}
	got := next(n)
	if len(got) != listenerQueue || len(got[0]) > maxLine+10 {
		t.Errorf("%d lines, the first of %d bytes", len(got), len(got[0]))
	}
	if m := string(n.Missed()); !strings.Contains(m, "dropped") || !strings.Contains(m, "count=5") {
		t.Errorf("missed: %q", m)
	}
	if n.Missed() != nil {
		t.Error("told twice")
	}
}

func TestListenersAreBounded(t *testing.T) {
	l := newQuiet(t, io.Discard)
	var all []*Listener
	for range maxListeners {
		n, err := l.Listen(zapcore.InfoLevel, false)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	if _, err := l.Listen(zapcore.InfoLevel, false); !errors.Is(err, fault.RateLimited) {
		t.Errorf("one too many: %v", err)
	}
	all[3].Close()
	if n, err := l.Listen(zapcore.InfoLevel, false); err != nil {
		t.Error(err)
	} else {
		n.Close()
	}
}

func TestListenWhileLogging(t *testing.T) {
	l := newQuiet(t, io.Discard)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				l.Debug("x")
			}
		})
		wg.Go(func() {
			for range 200 {
				if n, err := l.Listen(zapcore.DebugLevel, false); err == nil {
					next(n)
					n.Close()
				}
			}
		})
	}
	wg.Wait()
	if l.Core().Enabled(zapcore.DebugLevel) {
		t.Error("DEBUG stays on after everybody has gone")
	}
}
