package checks

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"consul.internal/catalog"
)

const (
	// aliasRetryMin and aliasRetryMax bound the pause after a failed look at what an alias follows:
	// soon enough to notice servers that come back, seldom enough not to press them.
	aliasRetryMin = time.Second
	aliasRetryMax = 30 * time.Second
)

// follow keeps an alias in the state of what it follows. Where that cannot be
// read, the alias stays as it is: not knowing is no reason to send nobody there.
func (r *Runner) follow(c *check) {
	var last uint64
	retry := aliasRetryMin
	for {
		f, err := r.deps.Follow(c.ctx, c.id, c.def, last)
		if c.ctx.Err() != nil {
			return
		}
		if err == nil {
			retry, last = aliasRetryMin, f.Index
			status, output := aliasStatus(c.def, f)
			r.report(c, status, output)
			continue
		}
		r.deps.Logger.Warn("alias check cannot read what it follows", zap.String("check", c.id), zap.Error(err))
		pause := time.NewTimer(retry/2 + time.Duration(r.deps.Rand(int64(retry/2))))
		select {
		case <-pause.C:
		case <-c.ctx.Done():
			pause.Stop()
			return
		}
		retry, last = min(retry*2, aliasRetryMax), 0
	}
}

// aliasStatus is the worst state among the checks followed.
func aliasStatus(d *Definition, f Followed) (catalog.Status, string) {
	if !f.Found {
		if d.AliasService != "" {
			return catalog.Critical, fmt.Sprintf("Service %q could not be found", d.AliasService)
		}
		return catalog.Critical, fmt.Sprintf("Node %q could not be found", d.AliasNode)
	}
	if len(f.Checks) == 0 {
		return catalog.Passing, "No checks found."
	}
	worst := catalog.Worst(f.Checks)
	if worst == catalog.Passing {
		return worst, "All checks passing."
	}
	for _, c := range f.Checks {
		if c.Status == worst {
			return worst, fmt.Sprintf("Aliased check %q failing: %s", c.Name, c.Output)
		}
	}
	return worst, ""
}
