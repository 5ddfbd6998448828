package logx

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxQueued bounds the lines that wait for a slow sink: some seconds of a
	// busy server at DEBUG, about 1 MB; 64 MiB if every line is as long as may be.
	maxQueued = 4096
	// maxLine bounds one line in the queue; longer ones are cut.
	maxLine = 16 << 10
	// CloseTimeout is how long Close waits for a sink that does not take lines.
	CloseTimeout = time.Second
)

// Sink is a writer that never makes its caller wait: a goroutine hands the lines
// on, and what a blocked sink cannot take is dropped and counted. A log that
// nobody reads must not stop a server.
type Sink struct {
	w       io.Writer
	report  func(dropped uint64) []byte
	queue   chan []byte
	quit    chan struct{}
	done    chan struct{}
	once    sync.Once
	dropped atomic.Uint64
}

// NewSink makes a sink in front of w. report renders the line that tells of
// dropped lines, once lines flow again.
func NewSink(w io.Writer, report func(dropped uint64) []byte) *Sink {
	s := &Sink{w: w, report: report, queue: make(chan []byte, maxQueued), quit: make(chan struct{}), done: make(chan struct{})}
	go s.run() // ends by Close, which waits for it as long as CloseTimeout
	return s
}

// Write queues a line. It keeps p.
func (s *Sink) Write(p []byte) (int, error) {
	line := p
	if len(line) > maxLine {
		line = append(line[:maxLine:maxLine], "...\n"...)
	}
	select {
	case <-s.quit:
		s.dropped.Add(1)
	case s.queue <- line:
	default:
		s.dropped.Add(1)
	}
	return len(p), nil
}

// Dropped counts lines that were not written.
func (s *Sink) Dropped() uint64 { return s.dropped.Load() }

func (s *Sink) run() {
	defer close(s.done)
	var told uint64
	write := func(line []byte) {
		_, _ = s.w.Write(line) // there is nowhere to report a log that cannot be written
		if n := s.dropped.Load(); n > told && len(s.queue) == 0 {
			_, _ = s.w.Write(s.report(n - told))
			told = n
		}
	}
	for {
		select {
		case line := <-s.queue:
			write(line)
		case <-s.quit:
			for {
				select {
				case line := <-s.queue:
					write(line)
				default:
					return
				}
			}
		}
	}
}

// ErrBlocked says that lines were left because the sink took none.
var ErrBlocked = errors.New("log sink is blocked; last lines are lost")

// Close writes what is queued and stops. It gives up after CloseTimeout: a write
// that blocks for ever cannot be called back.
func (s *Sink) Close() error {
	s.once.Do(func() { close(s.quit) })
	t := time.NewTimer(CloseTimeout)
	defer t.Stop()
	select {
	case <-s.done:
		return nil
	case <-t.C:
		return ErrBlocked
	}
}
