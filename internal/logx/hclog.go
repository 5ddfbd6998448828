package logx

import (
	"fmt"
	"io"
	"log"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// HCLog lends a zap logger to a library that speaks hclog. Names become zap
// names and arguments fields; the zap logger's level decides.
func HCLog(l *zap.Logger) hclog.Logger {
	return &adapter{l: l.WithOptions(zap.AddStacktrace(zapcore.InvalidLevel))}
}

type adapter struct {
	l       *zap.Logger
	implied []any
}

func zapLevel(l hclog.Level) zapcore.Level {
	switch l {
	case hclog.Trace:
		return Trace
	case hclog.Debug:
		return zapcore.DebugLevel
	case hclog.Warn:
		return zapcore.WarnLevel
	case hclog.Error:
		return zapcore.ErrorLevel
	default:
		return zapcore.InfoLevel
	}
}

// Log implements hclog.Logger.
func (a *adapter) Log(level hclog.Level, msg string, args ...any) {
	if level == hclog.Off {
		return
	}
	if ce := a.l.Check(zapLevel(level), msg); ce != nil {
		ce.Write(fields(args)...)
	}
}

// Trace implements hclog.Logger.
func (a *adapter) Trace(msg string, args ...any) { a.Log(hclog.Trace, msg, args...) }

// Debug implements hclog.Logger.
func (a *adapter) Debug(msg string, args ...any) { a.Log(hclog.Debug, msg, args...) }

// Info implements hclog.Logger.
func (a *adapter) Info(msg string, args ...any) { a.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (a *adapter) Warn(msg string, args ...any) { a.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (a *adapter) Error(msg string, args ...any) { a.Log(hclog.Error, msg, args...) }

// IsTrace implements hclog.Logger.
func (a *adapter) IsTrace() bool { return a.enabled(hclog.Trace) }

// IsDebug implements hclog.Logger.
func (a *adapter) IsDebug() bool { return a.enabled(hclog.Debug) }

// IsInfo implements hclog.Logger.
func (a *adapter) IsInfo() bool { return a.enabled(hclog.Info) }

// IsWarn implements hclog.Logger.
func (a *adapter) IsWarn() bool { return a.enabled(hclog.Warn) }

// IsError implements hclog.Logger.
func (a *adapter) IsError() bool { return a.enabled(hclog.Error) }

func (a *adapter) enabled(l hclog.Level) bool { return a.l.Core().Enabled(zapLevel(l)) }

// ImpliedArgs implements hclog.Logger.
func (a *adapter) ImpliedArgs() []any { return a.implied }

// With implements hclog.Logger.
func (a *adapter) With(args ...any) hclog.Logger {
	return &adapter{l: a.l.With(fields(args)...), implied: append(a.implied[:len(a.implied):len(a.implied)], args...)}
}

// Name implements hclog.Logger.
func (a *adapter) Name() string { return a.l.Name() }

// Named implements hclog.Logger.
func (a *adapter) Named(name string) hclog.Logger {
	return &adapter{l: a.l.Named(name), implied: a.implied}
}

// ResetNamed implements hclog.Logger; zap names only grow, so it adds the name.
func (a *adapter) ResetNamed(name string) hclog.Logger { return a.Named(name) }

// SetLevel implements hclog.Logger; the zap logger's level decides, so it does nothing.
func (a *adapter) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (a *adapter) GetLevel() hclog.Level {
	for _, l := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		if a.enabled(l) {
			return l
		}
	}
	return hclog.Off
}

// StandardLogger implements hclog.Logger.
func (a *adapter) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger { return Std(a.l) }

// StandardWriter implements hclog.Logger.
func (a *adapter) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return stdWriter{a.l} }

// fields turns hclog's alternating keys and values into fields.
func fields(args []any) []zap.Field {
	out := make([]zap.Field, 0, len(args)/2+1)
	for i := 0; i < len(args); i += 2 {
		if i+1 == len(args) {
			return append(out, zap.Any(hclog.MissingKey, args[i]))
		}
		key, ok := args[i].(string)
		if !ok {
			key = fmt.Sprint(args[i])
		}
		switch v := args[i+1].(type) {
		case hclog.Format:
			out = append(out, zap.String(key, fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)))
		case error:
			out = append(out, zap.String(key, v.Error()))
		case fmt.Stringer:
			out = append(out, zap.Stringer(key, v))
		default:
			out = append(out, zap.Any(key, v))
		}
	}
	return out
}
