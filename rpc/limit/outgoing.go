package limit

import (
	"context"
	"sync/atomic"
	"time"

	"consul.internal/internal/door"
	"consul.internal/internal/fault"
	"consul.internal/internal/metrics"
	"consul.internal/rpc"
)

// Outgoing bounds the requests that an agent makes to servers.
type Outgoing struct {
	metrics *metrics.Registry
	now     atomic.Pointer[outgoingRate]
}

type outgoingRate struct {
	perSecond float64
	burst     int
	rate      *door.Rate
}

// NewOutgoing makes a bound of so many requests a second (below 0 = none) and so
// many at once.
func NewOutgoing(perSecond float64, burst int, m *metrics.Registry) *Outgoing {
	o := &Outgoing{metrics: m}
	o.Reload(perSecond, burst)
	return o
}

// Reload takes another bound over. What was counted under the same one stays.
func (o *Outgoing) Reload(perSecond float64, burst int) {
	if old := o.now.Load(); old != nil && old.perSecond == perSecond && old.burst == burst {
		return
	}
	o.now.Store(&outgoingRate{perSecond, burst, door.NewRate(perSecond, burst)})
}

// Caller limits what goes to next.
func (o *Outgoing) Caller(next rpc.Caller) rpc.Caller { return outgoing{o, next} }

type outgoing struct {
	o    *Outgoing
	next rpc.Caller
}

func (c outgoing) Call(ctx context.Context, method string, in, out any) error {
	if !c.o.now.Load().rate.Allow(time.Now()) {
		c.o.metrics.Counter(metrics.ClientRPCExceeded).Inc()
		return fault.Newf(fault.RateLimited, "RPC rate limit exceeded")
	}
	return c.next.Call(ctx, method, in, out)
}
