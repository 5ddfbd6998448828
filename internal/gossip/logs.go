package gossip

import (
	"bytes"
	"log"
	"sync"
	"time"

	"consul.internal/internal/logx"
	"go.uber.org/zap"
)

// maxComplaints a second: each bad packet of a stranger makes the library write a
// line.
const maxComplaints = 20

// lines are what the libraries log, without what we say better and without floods.
type lines struct {
	out *log.Logger
	now func() time.Time

	mu         sync.Mutex
	since      time.Time
	count      int
	suppressed int
}

func libraryLogger(l *zap.Logger) *log.Logger {
	return log.New(&lines{out: logx.Std(l.WithOptions(zap.WithCaller(false))), now: time.Now}, "", 0)
}

// Write takes one line.
func (w *lines) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("memberlist: Conflicting address for")) || bytes.Contains(p, []byte(errEnded.Error())) {
		return len(p), nil // guard tells more; and an end is no news
	}
	if bytes.Contains(p, []byte("unacceptable label \"\"")) {
		p = append([]byte("[DEBUG]"), p[bytes.IndexByte(p, ']')+1:]...) // who says nothing, such as a probe of the port
	}
	if bytes.HasPrefix(p, []byte("[ERR")) || bytes.HasPrefix(p, []byte("[WARN]")) {
		drop, missed := w.flood()
		if missed > 0 {
			w.out.Printf("[WARN] memberlist: %d more complaints in the last second", missed)
		}
		if drop {
			return len(p), nil
		}
	}
	w.out.Print(string(p))
	return len(p), nil
}

func (w *lines) flood() (drop bool, missed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if now.Sub(w.since) >= time.Second {
		missed, w.suppressed = w.suppressed, 0
		w.since, w.count = now, 0
	}
	w.count++
	if w.count > maxComplaints {
		w.suppressed++
		return true, missed
	}
	return false, missed
}
