package logx

import (
	"fmt"
	"io"
	"log"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Trace is the level below zap's lowest, where protocol libraries chatter.
const Trace = zapcore.DebugLevel - 1

// levels are the names that a configuration may use.
var levels = []struct {
	name  string
	level zapcore.Level
}{
	{"TRACE", Trace},
	{"DEBUG", zapcore.DebugLevel},
	{"INFO", zapcore.InfoLevel},
	{"WARN", zapcore.WarnLevel},
	{"ERROR", zapcore.ErrorLevel},
	{"ERR", zapcore.ErrorLevel},
}

// ParseLevel reads a level's name, in any case.
func ParseLevel(s string) (zapcore.Level, error) {
	names := make([]string, 0, len(levels))
	for _, l := range levels {
		if strings.EqualFold(l.name, s) {
			return l.level, nil
		}
		names = append(names, l.name)
	}
	return 0, fmt.Errorf("unknown log level %q: use one of %s", s, strings.Join(names, ", "))
}

// levelName is a level as log lines show it.
func levelName(l zapcore.Level) string {
	switch {
	case l <= Trace:
		return "TRACE"
	case l == zapcore.DebugLevel:
		return "DEBUG"
	case l == zapcore.InfoLevel:
		return "INFO"
	case l == zapcore.WarnLevel:
		return "WARN"
	default:
		return "ERROR"
	}
}

// Config says what a process's logger is like.
type Config struct {
	Level string // "" = INFO
	JSON  bool
	Name  string // the root of all names in lines, such as "agent"
}

// Logger is a process's logger with the handles that its owner needs.
type Logger struct {
	*zap.Logger
	Level zap.AtomicLevel // may be set at any time
	sink  *Sink
	taps  taps
}

// New makes a logger that writes to w without ever waiting for it. Close it to
// have the last lines written.
func New(cfg Config, w io.Writer) (*Logger, error) {
	level := zapcore.InfoLevel
	if cfg.Level != "" {
		var err error
		if level, err = ParseLevel(cfg.Level); err != nil {
			return nil, err
		}
	}
	l := &Logger{Level: zap.NewAtomicLevelAt(level)}
	form := textLine
	if cfg.JSON {
		form = jsonLine
	}
	l.sink = NewSink(w, func(dropped uint64) []byte { return form(droppedEntry(cfg.Name), droppedFields(dropped)) })
	l.Logger = zap.New(&core{enabled: l.Level, out: l.sink, form: form, taps: &l.taps})
	if cfg.Name != "" {
		l.Logger = l.Named(cfg.Name)
	}
	return l, nil
}

// Dropped counts the lines that were thrown away because w took too long.
func (l *Logger) Dropped() uint64 { return l.sink.Dropped() }

// Close writes what is waiting, for as long as CloseTimeout, and stops.
func (l *Logger) Close() error { return l.sink.Close() }

// SetLevel changes the level by name.
func (l *Logger) SetLevel(name string) error {
	level, err := ParseLevel(name)
	if err == nil {
		l.Level.SetLevel(level)
	}
	return err
}

// Std lends a logger to code that speaks the standard log package. Lines that
// begin with a level in brackets, as "[WARN] text", keep that level.
func Std(l *zap.Logger) *log.Logger { return log.New(stdWriter{l}, "", 0) }

type stdWriter struct{ l *zap.Logger }

func (w stdWriter) Write(p []byte) (int, error) {
	line := strings.TrimRight(string(p), "\n")
	level := zapcore.InfoLevel
	if rest, ok := strings.CutPrefix(line, "["); ok {
		if name, text, ok := strings.Cut(rest, "]"); ok {
			if parsed, err := ParseLevel(name); err == nil {
				level, line = parsed, strings.TrimSpace(text)
			}
		}
	}
	w.l.Log(level, line)
	return len(p), nil
}
