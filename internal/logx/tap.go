package logx

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"consul.internal/internal/fault"
	"go.uber.org/zap/zapcore"
)

const (
	// maxListeners bounds those who listen at once: each costs the rendering of
	// every line that it wants.
	maxListeners = 16
	// listenerQueue bounds the lines that wait for a slow listener: about a second
	// of a busy agent at DEBUG.
	listenerQueue = 512
)

// taps are the listeners of a logger.
type taps struct {
	mu   sync.Mutex // guards changes of list
	list atomic.Pointer[[]*Listener]
	// least is the lowest level that a listener wants, plus the offset that makes
	// zero mean that there is none.
	least atomic.Int64
}

// offset makes every level's number greater than zero.
const offset = math.MaxInt8 + 2

func (t *taps) wanted(l zapcore.Level) bool {
	least := t.least.Load()
	return least != 0 && int64(l)+offset >= least
}

func (t *taps) write(e zapcore.Entry, fields []zapcore.Field) {
	list := t.list.Load()
	if list == nil {
		return
	}
	for _, l := range *list {
		if e.Level >= l.level {
			l.offer(l.form(e, fields))
		}
	}
}

// change replaces the list by what edit makes of a copy.
func (t *taps) change(edit func([]*Listener) []*Listener) {
	var old []*Listener
	if p := t.list.Load(); p != nil {
		old = *p
	}
	list := edit(slices.Clone(old))
	t.list.Store(&list)
	least := int64(0)
	for _, l := range list {
		if n := int64(l.level) + offset; least == 0 || n < least {
			least = n
		}
	}
	t.least.Store(least)
}

// Listener gets a logger's lines from some level on, also those below the
// logger's own level. A slow one loses lines and holds nobody up.
type Listener struct {
	level   zapcore.Level
	form    func(zapcore.Entry, []zapcore.Field) []byte
	lines   chan []byte
	dropped atomic.Uint64
	told    uint64
	close   func()
}

// Listen begins to listen. Close the listener.
func (l *Logger) Listen(level zapcore.Level, json bool) (*Listener, error) {
	n := &Listener{level: level, form: textLine, lines: make(chan []byte, listenerQueue)}
	if json {
		n.form = jsonLine
	}
	t := &l.taps
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.list.Load(); p != nil && len(*p) >= maxListeners {
		return nil, fault.Newf(fault.RateLimited, "%d listeners follow this agent's log already; end one of them", maxListeners)
	}
	n.close = sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.change(func(list []*Listener) []*Listener {
			return slices.DeleteFunc(list, func(o *Listener) bool { return o == n })
		})
	})
	t.change(func(list []*Listener) []*Listener { return append(list, n) })
	return n, nil
}

func (l *Listener) offer(line []byte) {
	if len(line) > maxLine {
		line = append(line[:maxLine:maxLine], "...\n"...)
	}
	select {
	case l.lines <- line:
	default:
		l.dropped.Add(1)
	}
}

// Lines are the lines, each with its line break. The channel is never closed.
func (l *Listener) Lines() <-chan []byte { return l.lines }

// Missed returns a line that tells how many were dropped since it was last asked,
// or nil if none were. One goroutine may ask.
func (l *Listener) Missed() []byte {
	n := l.dropped.Load()
	if n == l.told {
		return nil
	}
	n, l.told = n-l.told, n
	return l.form(droppedEntry("agent.monitor"), droppedFields(n))
}

// Close ends listening. It may be called more than once.
func (l *Listener) Close() { l.close() }
