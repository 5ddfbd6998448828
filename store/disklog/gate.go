package disklog

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

// ErrGateShut is what raft gets for a call while the gate is shut.
var ErrGateShut = errors.New("this server's disk does not take writes; it takes no part in the cluster meanwhile")

// hungAfter is how long a write of the log may take before this server counts as
// one that is down: far above what a busy disk needs, and with an election after
// it well below 10 s.
const hungAfter = 2 * time.Second

// Gate is shut while the disk does not take writes. A write that blocks, blocks
// raft's loop: a leader then neither commits nor steps down, and by its
// heartbeats, which go on, keeps others from being elected. So the transport asks
// the gate, and a server behind a shut one is as good as dead to the others,
// until the write returns.
type Gate struct {
	logger *zap.Logger

	mu      sync.Mutex
	holds   int           // why it is shut: writes that hang, a disk that is full
	shut    chan struct{} // closed while shut
	changed chan struct{} // buffered: something changed since it was last read
}

// NewGate makes an open gate.
func NewGate(logger *zap.Logger) *Gate {
	return &Gate{logger: logger, shut: make(chan struct{}), changed: make(chan struct{}, 1)}
}

// Hold shuts the gate until release is called.
func (g *Gate) Hold(why string) (release func()) {
	g.mu.Lock()
	g.holds++
	if g.holds == 1 {
		close(g.shut)
	}
	g.mu.Unlock()
	g.tell()
	g.logger.Error("this server takes no part in the cluster until its disk works again", zap.String("reason", why))
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.holds--
		open := g.holds == 0
		if open {
			g.shut = make(chan struct{})
		}
		g.mu.Unlock()
		g.tell()
		if open {
			g.logger.Info("the disk works again; this server takes part in the cluster")
		}
	})
}

func (g *Gate) tell() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// Shutting closes when the gate shuts.
func (g *Gate) Shutting() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// IsShut reports whether the gate is shut now.
func (g *Gate) IsShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.holds > 0
}

// Changed is sent to when the gate may have opened or shut.
func (g *Gate) Changed() <-chan struct{} { return g.changed }

// Watch carries out a write and shuts the gate while it hangs.
func (g *Gate) Watch(write func() error) error {
	var (
		mu      sync.Mutex
		release func()
		done    bool
	)
	t := time.AfterFunc(hungAfter, func() {
		mu.Lock()
		defer mu.Unlock()
		if !done {
			release = g.Hold("a write to the log has not returned for " + hungAfter.String())
		}
	})
	err := write()
	if t.Stop() {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	done = true
	if release != nil {
		release()
	}
	return err
}
