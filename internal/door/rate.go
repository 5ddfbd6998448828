package door

import (
	"container/list"
	"io"
	"math"
	"net/netip"
	"sync"
	"time"
)

// Rate lets so much happen in a second, and a burst of it at once. A nil Rate has
// no limit.
type Rate struct {
	perSecond, burst float64

	mu    sync.Mutex
	level float64 // what may happen now
	last  time.Time
}

// NewRate makes a rate; below 0 a second there is no limit. A burst below 1 is one
// second's worth.
func NewRate(perSecond float64, burst int) *Rate {
	if perSecond < 0 || math.IsInf(perSecond, 1) || math.IsNaN(perSecond) {
		return nil
	}
	b := float64(burst)
	if burst < 1 {
		b = max(perSecond, 1)
	}
	if perSecond == 0 {
		b = 0 // nothing at all
	}
	return &Rate{perSecond: perSecond, burst: b, level: b}
}

// Allow reports whether one more may happen at a moment, and counts it.
func (r *Rate) Allow(now time.Time) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && now.After(r.last) {
		r.level = min(r.level+now.Sub(r.last).Seconds()*r.perSecond, r.burst)
	}
	if now.After(r.last) {
		r.last = now
	}
	if r.level < 1 {
		return false
	}
	r.level--
	return true
}

// Sparse is a writer that leaves out what goes beyond a rate.
func Sparse(out io.Writer, rate *Rate) io.Writer { return &sparse{out, rate} }

type sparse struct {
	out  io.Writer
	rate *Rate
}

func (w *sparse) Write(p []byte) (int, error) {
	if !w.rate.Allow(time.Now()) {
		return len(p), nil
	}
	return w.out.Write(p)
}

// maxSources bounds the sources whose rates are remembered, about 1 MiB: of more
// than these, the one that has been quiet longest is forgotten.
const maxSources = 8192

// sourceBits6 of an IPv6 address are one source: who has an address has a /64.
const sourceBits6 = 64

// Sources lets each source do so much in a second. A nil Sources has no limit.
type Sources struct {
	perSecond float64

	mu     sync.Mutex
	byAddr map[netip.Addr]*list.Element
	order  list.List // of *source, the one quiet longest first
}

type source struct {
	addr netip.Addr
	rate *Rate
}

// NewSources makes rates of sources; below 0 a second there is no limit.
func NewSources(perSecond float64) *Sources {
	if NewRate(perSecond, 0) == nil {
		return nil
	}
	return &Sources{perSecond: perSecond, byAddr: map[netip.Addr]*list.Element{}}
}

// Allow reports whether one more may come from an address at a moment, and counts
// it. Who has no address is not limited.
func (s *Sources) Allow(from netip.Addr, now time.Time) bool {
	if s == nil || !from.IsValid() {
		return true
	}
	from = from.Unmap().WithZone("")
	if from.Is6() {
		if p, err := from.Prefix(sourceBits6); err == nil {
			from = p.Addr()
		}
	}
	return s.of(from).Allow(now)
}

func (s *Sources) of(addr netip.Addr) *Rate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byAddr[addr]; e != nil {
		s.order.MoveToBack(e)
		return e.Value.(*source).rate
	}
	if s.order.Len() >= maxSources {
		first := s.order.Front()
		delete(s.byAddr, s.order.Remove(first).(*source).addr)
	}
	one := &source{addr, NewRate(s.perSecond, 0)}
	s.byAddr[addr] = s.order.PushBack(one)
	return one.rate
}

// Len is how many sources are remembered.
func (s *Sources) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.Len()
}
