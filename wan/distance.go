package wan

import (
	"cmp"
	"slices"
	"time"

	"consul.internal/internal/gossip"
)

// Datacenter is one that has servers in the pool.
type Datacenter struct {
	Name string
	// RTT is the median of the estimated round-trip times to its servers; 0 = the
	// own one, or not known yet.
	RTT   time.Duration
	Alive int // servers that live
}

// unknownRTT sorts what has not been measured behind everything that has.
const unknownRTT = time.Duration(1<<63 - 1)

// Datacenters lists the own datacenter and those that have servers which live or
// have failed, the nearest first. One whose servers all left is none any more.
func (p *Pool) Datacenters() []Datacenter {
	own := p.cfg.Identity.Datacenter
	byName := map[string]*Datacenter{own: {Name: own}}
	times := map[string][]time.Duration{}
	here, err := p.gossip.Coordinate()
	for _, m := range p.gossip.Members() {
		dc := m.Tags["dc"]
		if dc == "" || m.Status != gossip.StatusAlive && m.Status != gossip.StatusFailed {
			continue
		}
		if byName[dc] == nil {
			byName[dc] = &Datacenter{Name: dc}
		}
		if m.Status == gossip.StatusAlive {
			byName[dc].Alive++
		}
		if there, ok := p.gossip.CachedCoordinate(m.Name); ok && err == nil && dc != own {
			times[dc] = append(times[dc], here.DistanceTo(there))
		}
	}
	out := make([]Datacenter, 0, len(byName))
	for _, d := range byName {
		d.RTT = median(times[d.Name])
		out = append(out, *d)
	}
	rank := func(d Datacenter) time.Duration {
		if d.Name != own && d.RTT == 0 {
			return unknownRTT
		}
		return d.RTT
	}
	slices.SortFunc(out, func(a, b Datacenter) int {
		return cmp.Or(-boolCompare(a.Name == own, b.Name == own), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// median of some times, 0 of none.
func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	n := len(times)
	if n%2 == 1 {
		return times[n/2]
	}
	return (times[n/2-1] + times[n/2]) / 2
}

// RTT is the estimated round-trip time to a member; 0 = not known yet.
func (p *Pool) RTT(name string) time.Duration {
	here, err := p.gossip.Coordinate()
	there, ok := p.gossip.CachedCoordinate(name)
	if err != nil || !ok {
		return 0
	}
	return here.DistanceTo(there)
}

// Coordinate is this server's place in the network.
func (p *Pool) Coordinate() (gossip.Coordinate, error) { return p.gossip.Coordinate() }

// CachedCoordinate is another member's place as far as this one has learned it.
func (p *Pool) CachedCoordinate(name string) (gossip.Coordinate, bool) {
	return p.gossip.CachedCoordinate(name)
}
