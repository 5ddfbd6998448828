package logx

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// core is a zap core that renders lines as people and programs that read this
// kind of log know them.
type core struct {
	enabled zapcore.LevelEnabler
	out     io.Writer
	form    func(zapcore.Entry, []zapcore.Field) []byte
	with    []zapcore.Field
	taps    *taps // of listeners that may want more than out
}

func (c *core) Enabled(l zapcore.Level) bool { return c.enabled.Enabled(l) || c.taps.wanted(l) }

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	d := *c
	d.with = slices.Concat(c.with, fields)
	return &d
}

func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	all := slices.Concat(c.with, fields)
	c.taps.write(e, all)
	if !c.enabled.Enabled(e.Level) {
		return nil
	}
	_, err := c.out.Write(c.form(e, all))
	return err
}

// Sync does nothing: lines leave by themselves, and waiting for the sink is what
// this package is there to avoid.
func (c *core) Sync() error { return nil }

const (
	textTime = "2006-01-02T15:04:05.000Z0700"
	jsonTime = "2006-01-02T15:04:05.000000Z07:00"
)

// textLine renders a line as
//
//	2026-11-22T14:39:54.123Z [INFO]  agent.server: New leader elected: payload=node-a
func textLine(e zapcore.Entry, fields []zapcore.Field) []byte {
	b := e.Time.AppendFormat(make([]byte, 0, 128+len(e.Message)), textTime)
	name := "[" + levelName(e.Level) + "]"
	b = fmt.Appendf(b, " %-7s ", name)
	if e.LoggerName != "" {
		b = append(append(b, e.LoggerName...), ": "...)
	}
	b = append(b, oneLine(e.Message)...)
	sep := ": "
	eachField(fields, func(key string, value any) {
		b = append(b, sep...)
		b = append(append(b, oneLine(key)...), '=')
		b = append(b, textValue(value)...)
		sep = " "
	})
	return append(b, '\n')
}

// jsonLine renders a line as an object with the keys @level, @message, @module
// and @timestamp, and the fields beside them.
func jsonLine(e zapcore.Entry, fields []zapcore.Field) []byte {
	m := map[string]any{}
	eachField(fields, func(key string, value any) { m[key] = jsonValue(value) })
	m["@level"] = strings.ToLower(levelName(e.Level))
	m["@message"] = e.Message
	m["@timestamp"] = e.Time.Format(jsonTime)
	if e.LoggerName != "" {
		m["@module"] = e.LoggerName
	}
	b, err := json.Marshal(m)
	if err != nil { // a field that JSON cannot carry must not lose the line
		for k, v := range m {
			m[k] = fmt.Sprint(v)
		}
		b, _ = json.Marshal(m)
	}
	return append(b, '\n')
}

// eachField visits fields in order; those that unfold into several, by name.
func eachField(fields []zapcore.Field, visit func(key string, value any)) {
	for _, f := range fields {
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		for _, key := range slices.Sorted(maps.Keys(enc.Fields)) {
			visit(key, enc.Fields[key])
		}
	}
}

func textValue(v any) string {
	s := fmt.Sprint(v)
	switch t := v.(type) {
	case string:
		s = t
	case time.Time:
		s = t.Format(textTime)
	case []byte:
		s = string(t)
	}
	if s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == '"' || r == '=' || r == unicode.ReplacementChar || !unicode.IsPrint(r)
	}) {
		return strconv.Quote(s)
	}
	return s
}

func jsonValue(v any) any {
	switch t := v.(type) {
	case time.Duration:
		return t.String()
	case fmt.Stringer:
		return t.String()
	case error:
		return t.Error()
	}
	return v
}

// oneLine keeps what strangers sent from forging lines of its own.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func droppedEntry(name string) zapcore.Entry {
	return zapcore.Entry{
		Level: zapcore.WarnLevel, Time: time.Now(), LoggerName: name,
		Message: "log lines were dropped because the log could not be written fast enough",
	}
}

func droppedFields(n uint64) []zapcore.Field { return []zapcore.Field{zap.Uint64("count", n)} }
