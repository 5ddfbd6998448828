package logx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"consul.internal/internal/logx"
)

// lines logs by fn and returns what was written.
func lines(t *testing.T, cfg logx.Config, fn func(*logx.Logger)) []string {
	t.Helper()
	var b bytes.Buffer
	l, err := logx.New(cfg, &b)
	if err != nil {
		t.Fatal(err)
	}
	fn(l)
	if err := l.Close(); err != nil { // after it the buffer is ours
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func TestText(t *testing.T) {
	got := lines(t, logx.Config{Name: "agent", Level: "trace"}, func(l *logx.Logger) {
		s := l.Named("server")
		s.Info("New leader elected", zap.String("payload", "node-a"))
		s.Warn("two words", zap.String("k", "a b"), zap.Error(errors.New("no \"route\"")), zap.Duration("after", time.Second))
		l.Log(logx.Trace, "deep", zap.Strings("list", []string{"a", "b"}), zap.String("empty", ""))
		l.Error("forged\n2026-01-01T00:00:00.000Z [INFO]  agent: line", zap.String("a\nb", "x\ny"))
		l.Debug("none")
	})
	want := []string{
		`[INFO]  agent.server: New leader elected: payload=node-a`,
		`[WARN]  agent.server: two words: k="a b" error="no \"route\"" after=1s`,
		`[TRACE] agent: deep: list="[a b]" empty=""`,
		`[ERROR] agent: forged\n2026-01-01T00:00:00.000Z [INFO]  agent: line: a\nb="x\ny"`,
		`[DEBUG] agent: none`,
	}
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d{4}) (.*)$`)
	if len(got) != len(want) {
		t.Fatalf("got %d lines: %q", len(got), got)
	}
	for i, line := range got {
		if m := stamp.FindStringSubmatch(line); m == nil || m[2] != want[i] {
			t.Errorf("got  %s\nwant (time) %s", line, want[i])
		}
	}
}

func TestJSON(t *testing.T) {
	got := lines(t, logx.Config{Name: "agent", JSON: true}, func(l *logx.Logger) {
		l.With(zap.Int("n", 7)).Warn("hello", zap.Duration("d", time.Second), zap.Any("bad", func() {}))
	})
	var m map[string]any
	if err := json.Unmarshal([]byte(got[0]), &m); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"@level": "warn", "@message": "hello", "@module": "agent", "d": "1s", "n": "7"} {
		if m[key] != want {
			t.Errorf("%s is %v, want %s", key, m[key], want)
		}
	}
	if stamp, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", m["@timestamp"].(string)); err != nil || time.Since(stamp) > time.Hour {
		t.Errorf("@timestamp %v: %v", m["@timestamp"], err)
	}
	got = lines(t, logx.Config{JSON: true}, func(l *logx.Logger) { l.Info("n", zap.Int("n", 7)) })
	if !strings.Contains(got[0], `"n":7`) {
		t.Errorf("a number is not a number: %s", got[0])
	}
}

func TestLevels(t *testing.T) {
	for name, want := range map[string]zapcore.Level{
		"trace": logx.Trace, "Debug": zapcore.DebugLevel, "INFO": zapcore.InfoLevel,
		"warn": zapcore.WarnLevel, "ERR": zapcore.ErrorLevel, "error": zapcore.ErrorLevel,
	} {
		if got, err := logx.ParseLevel(name); err != nil || got != want {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	if _, err := logx.ParseLevel("loud"); err == nil || !strings.Contains(err.Error(), "TRACE, DEBUG, INFO, WARN, ERROR, ERR") {
		t.Errorf("got %v", err)
	}
	if _, err := logx.New(logx.Config{Level: "loud"}, &bytes.Buffer{}); err == nil {
		t.Error("an unknown level is taken")
	}
	got := lines(t, logx.Config{Level: "WARN"}, func(l *logx.Logger) {
		l.Info("hidden")
		if err := l.SetLevel("debug"); err != nil {
			t.Error(err)
		}
		l.Debug("shown")
		if err := l.SetLevel("loud"); err == nil {
			t.Error("an unknown level is set")
		}
	})
	if len(got) != 1 || !strings.HasSuffix(got[0], "[DEBUG] shown") {
		t.Errorf("got %q", got)
	}
}

func TestHCLog(t *testing.T) {
	got := lines(t, logx.Config{Name: "agent"}, func(l *logx.Logger) {
		h := logx.HCLog(l.Named("server")).Named("raft").With("id", "a")
		h.Info("entering leader state", "leader", hclog.Fmt("%s at %d", "x", 1), "error", errors.New("e"), 5, "five", "odd")
		h.Trace("hidden")
		if h.IsTrace() || !h.IsInfo() || h.GetLevel() != hclog.Info || h.Name() != "agent.server.raft" || len(h.ImpliedArgs()) != 2 {
			t.Errorf("trace %v info %v level %v name %s", h.IsTrace(), h.IsInfo(), h.GetLevel(), h.Name())
		}
		h.StandardLogger(nil).Print("[WARN] from the standard library")
		h.StandardLogger(nil).Print("[x] plain")
	})
	for i, want := range []string{
		`[INFO]  agent.server.raft: entering leader state: id=a leader="x at 1" error=e 5=five EXTRA_VALUE_AT_END=odd`,
		`[WARN]  agent.server.raft: from the standard library: id=a`,
		`[INFO]  agent.server.raft: [x] plain: id=a`,
	} {
		if i >= len(got) || !strings.HasSuffix(got[i], want) {
			t.Errorf("line %d of %q, want %s", i, got, want)
		}
	}
}

// blocked is a sink that takes nothing until it is let go.
type blocked struct {
	mu  sync.Mutex
	let chan struct{}
	buf bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.let
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// A sink that nobody reads must not stop the program (F34).
func TestBlockedSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &blocked{let: make(chan struct{})}
		l, err := logx.New(logx.Config{Name: "agent"}, sink)
		if err != nil {
			t.Fatal(err)
		}
		const n = 10000
		for range n {
			l.Info("line") // returns at once, or the bubble deadlocks and the test fails
		}
		if l.Dropped() == 0 {
			t.Error("nothing was dropped")
		}
		if err := l.Close(); !errors.Is(err, logx.ErrBlocked) {
			t.Errorf("close: %v", err)
		}
		close(sink.let)
		synctest.Wait()
		sink.mu.Lock()
		defer sink.mu.Unlock()
		text := sink.buf.String()
		if got := strings.Count(text, "agent: line\n"); got+int(l.Dropped()) != n {
			t.Errorf("%d written and %d dropped of %d", got, l.Dropped(), n)
		}
		if !strings.Contains(text, "log lines were dropped") {
			t.Error("the log does not tell that lines are missing")
		}
	})
}
