package checks

import (
	"fmt"
	"time"

	"consul.internal/catalog"
)

// UpdateTTL gives a TTL check a new status and lets its time start afresh. It
// returns when the TTL will expire.
func (r *Runner) UpdateTTL(id string, status catalog.Status, output string) (time.Time, error) {
	r.mu.Lock()
	c := r.checks[id]
	r.mu.Unlock()
	if c == nil || c.kind != KindTTL {
		return time.Time{}, fmt.Errorf("CheckID %q does not have associated TTL", id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return time.Time{}, fmt.Errorf("CheckID %q does not have associated TTL", id)
	}
	c.output = Clean(output, c.maxSize)
	c.deadline = time.Now().Add(c.def.TTL)
	c.timer.Reset(c.def.TTL)
	r.deps.Sink.UpdateCheck(id, status, c.output)
	return c.deadline, nil
}

// expire turns a TTL check critical whose time has run out.
func (r *Runner) expire(c *check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// An update may have come between the timer and this lock.
	if c.gone || time.Now().Before(c.deadline) {
		return
	}
	text := "TTL expired"
	if c.output != "" {
		text = "TTL expired (last output before timeout follows): " + c.output
	}
	r.deps.Sink.UpdateCheck(c.id, catalog.Critical, Clean(text, c.maxSize))
}
