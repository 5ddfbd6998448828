package federation

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// serverSet orders the servers of one datacenter by whom to ask first. The order
// is random, and stays until one fails or the load is spread anew.
type serverSet struct {
	away bool // of another datacenter: the nearest first, and one that failed is asked when a probe has found it well

	mu     sync.Mutex
	order  []Server
	failed map[string]time.Time // by ID; when it last did not answer
}

func newServerSet(away bool) *serverSet {
	return &serverSet{away: away, failed: map[string]time.Time{}}
}

// set replaces the servers, and returns those that are new or have moved. Those
// who stay keep their place, those who are new come to any.
func (s *serverSet) set(servers []Server) (fresh []Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byID := make(map[string]Server, len(servers))
	for _, sv := range servers {
		byID[sv.ID] = sv
	}
	var order []Server
	for _, old := range s.order {
		if now, ok := byID[old.ID]; ok {
			if now.Addr != old.Addr {
				delete(s.failed, old.ID) // it may be well where it is now
				fresh = append(fresh, now)
			}
			if now.Failed && !old.Failed {
				s.failed[now.ID] = time.Now() // until it answers a probe
			}
			order = append(order, now)
			delete(byID, old.ID)
		} else {
			delete(s.failed, old.ID)
		}
	}
	for _, sv := range servers {
		if _, unknown := byID[sv.ID]; unknown {
			delete(byID, sv.ID)
			order = slices.Insert(order, rand.IntN(len(order)+1), sv)
			fresh = append(fresh, sv)
			if sv.Failed {
				s.failed[sv.ID] = time.Now()
			}
		}
	}
	if s.away {
		slices.SortStableFunc(order, func(a, b Server) int { return cmp.Compare(distance(a), distance(b)) })
	}
	s.order = order
	return fresh
}

// distance in steps; what has not been measured is far.
func distance(sv Server) time.Duration {
	if sv.RTT <= 0 {
		return time.Hour
	}
	return sv.RTT / near
}

// candidates lists the servers in the order in which to ask them: those that
// lately did not answer come last.
func (s *serverSet) candidates() []Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Server, 0, len(s.order))
	now := time.Now()
	for _, cooling := range []bool{false, true} {
		for _, sv := range s.order {
			if s.cools(sv.ID, now) == cooling {
				list = append(list, sv)
			}
		}
	}
	return list
}

// cools reports whether a server is passed over. mu is held.
func (s *serverSet) cools(id string, now time.Time) bool {
	at, failed := s.failed[id]
	return failed && (s.away || now.Sub(at) < coolDown)
}

// split lists the servers in the order in which to ask them: those that answer,
// and those that lately did not.
func (s *serverSet) split() (well, ill []Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, sv := range s.order {
		if s.cools(sv.ID, now) {
			ill = append(ill, sv)
		} else {
			well = append(well, sv)
		}
	}
	return well, ill
}

// find returns the server with an ID.
func (s *serverSet) find(id string) (Server, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.order, func(sv Server) bool { return sv.ID == id })
	if i < 0 {
		return Server{}, false
	}
	return s.order[i], true
}

// pass puts a server last. Silent ones stay last for a while whatever comes.
func (s *serverSet) pass(id string, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.order, func(sv Server) bool { return sv.ID == id })
	if i < 0 {
		return
	}
	if sv := s.order[i]; !s.away { // there the nearest stays first, and others are asked because it failed
		s.order = append(slices.Delete(s.order, i, i+1), sv)
	}
	if silent {
		s.failed[id] = time.Now()
	}
}

// answered forgets that a server once did not answer.
func (s *serverSet) answered(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failed, id)
}

// shuffled lists the servers in any order.
func (s *serverSet) shuffled() []Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.order)
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// prefer puts a server first.
func (s *serverSet) prefer(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.order, func(sv Server) bool { return sv.ID == id })
	if i < 0 {
		return
	}
	sv := s.order[i]
	s.order = slices.Insert(slices.Delete(s.order, i, i+1), 0, sv)
	delete(s.failed, id)
}

func (s *serverSet) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order)
}
