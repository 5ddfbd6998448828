package gossip

import (
	"time"

	"github.com/hashicorp/serf/serf"
)

// TagReconnect is the tag by which a member says how long it wants to be remembered
// after it failed, in place of the pool's ReconnectTimeout. Its value is a duration
// such as "15m0s".
const TagReconnect = "rc_tm"

// wishes tells serf how long each member is remembered.
type wishes struct{}

var _ serf.ReconnectTimeoutOverrider = wishes{}

// ReconnectTimeout is asked for members that failed and for those that left. The wish
// is about failures: who left is remembered as long as late news of it may be under
// way, which is the pool's matter. What cannot be read is no wish.
func (wishes) ReconnectTimeout(m *serf.Member, otherwise time.Duration) time.Duration {
	if m.Status != serf.StatusFailed {
		return otherwise
	}
	if d, err := time.ParseDuration(m.Tags[TagReconnect]); err == nil && d > 0 {
		return d
	}
	return otherwise
}
