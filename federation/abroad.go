package federation

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc/remote"
	"go.uber.org/zap"
)

// away reports whether something is for another datacenter.
func (r *Router) away(dc string) bool { return dc != "" && dc != r.cfg.Datacenter }

// set is the servers of a datacenter, nil if none is known.
func (r *Router) set(dc string) *serverSet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sets[dc]
}

// errNoPath is what people know for a datacenter that nobody knows.
func errNoPath() error { return fault.Newf(fault.NoRoute, "No path to datacenter") }

// way is a server that may have something performed in another datacenter.
type way struct {
	server Server
	set    *serverSet
	hands  bool // it is of a third datacenter, or of the own one, and hands it on
}

// ways lists whom to ask for something in another datacenter, the best first: its
// own servers, then others that may reach one, then those that lately did not
// answer, then others that lately could not reach one. hop is how many servers it has come to before: only the first one asks
// others to hand it on.
func (r *Router) ways(dc string, hop int) ([]way, error) {
	set := r.set(dc)
	if set == nil || r.deps.Local == nil {
		return nil, errNoPath()
	}
	var out []way
	well, ill := set.split()
	for _, sv := range well {
		out = append(out, way{server: sv, set: set})
	}
	if hop > 1 {
		return out, nil
	}
	able, barred := r.relays(dc)
	out = append(out, able...)
	for _, sv := range ill {
		out = append(out, way{server: sv, set: set})
	}
	return append(out, barred...), nil // it may have been a hiccup, and there is nobody else
}

// passing is handing on to a datacenter, by a server.
type passing struct{ datacenter, server string }

// handers remembers who can hand on.
type handers struct {
	mu   sync.Mutex
	via  map[string]string     // by datacenter; who handed a call on last
	bars map[passing]time.Time // when somebody could not
}

// bar remembers that a server could not hand on.
func (r *handers) bar(dc, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.via[dc] == id {
		delete(r.via, dc)
	}
	now := time.Now()
	for p, at := range r.bars { // they are few, and soon old
		if now.Sub(at) >= coolDown {
			delete(r.bars, p)
		}
	}
	r.bars[passing{dc, id}] = now
}

// relays lists who may hand something on: whoever did so last, then the servers
// of the own datacenter and of others, the nearest first; and those who lately
// could not.
func (r *Router) relays(dc string) (out, lame []way) {
	last, barred := r.hand.of(dc)
	r.mu.Lock()
	sets := make([]*serverSet, 0, len(r.sets))
	for name, set := range r.sets {
		if name != dc {
			sets = append(sets, set)
		}
	}
	r.mu.Unlock()
	for _, set := range sets {
		well, _ := set.split()
		for i, sv := range well {
			switch {
			case barred[sv.ID]:
				lame = append(lame, way{sv, set, true})
			case i < 2 || sv.ID == last: // two of a datacenter: they have the same neighbours
				out = append(out, way{sv, set, true})
			}
		}
	}
	rank := func(w way) int {
		switch {
		case w.server.ID == last:
			return 0
		case w.set.away:
			return 1 + int(distance(w.server)) // the own ones mostly cannot reach it either
		}
		return 1 << 62
	}
	slices.SortStableFunc(out, func(a, b way) int {
		if x, y := rank(a), rank(b); x != y {
			if x < y {
				return -1
			}
			return 1
		}
		return 0
	})
	return out, lame
}

// abroad asks everybody who may perform a call for another datacenter, once.
func (r *Router) abroad(ctx context.Context, dc string, t *task, hop int) error {
	ways, err := r.ways(dc, hop)
	if err != nil {
		return t.stop(err)
	}
	err = fault.Newf(fault.Unavailable, "no server of datacenter %s can be reached", dc)
	handed := 0
	for _, w := range ways {
		if ctx.Err() != nil {
			break
		}
		next := hop + 1
		if w.hands {
			if handed++; handed > relayTries {
				continue
			}
			next = max(next, relayHop)
		}
		failed := r.askAt(ctx, w.set, w.server, t, next)
		if w.hands && fault.Of(failed) == fault.NoRoute {
			r.hand.bar(dc, w.server.ID)
			continue // it has no way there
		}
		if !t.again(failed) {
			if w.hands && failed == nil {
				r.hand.handed(dc, w.server.ID)
			}
			return failed
		}
		err = failed
	}
	return err
}

// relayHop is the hop of what is handed on: such a server asks only those of the
// datacenter itself, so that nothing goes in circles.
const relayHop = 2

// of is who handed on to a datacenter last, and who cannot.
func (r *handers) of(dc string) (last string, barred map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	barred = map[string]bool{}
	for p, at := range r.bars {
		barred[p.server] = barred[p.server] || p.datacenter == dc && time.Since(at) < coolDown
	}
	return r.via[dc], barred
}

// handed remembers who handed something on.
func (r *handers) handed(dc, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.via[dc] = id
}

// onward performs a call that came over the wire for another datacenter. It does
// not wait for a leader there, nor longer than whoever asked.
func (r *Router) onward(ctx context.Context, dc, method string, in, out any) error {
	r.deps.Logger.Debug("a call is handed on to another datacenter", zap.String("method", method), zap.String("datacenter", dc), zap.Int("hop", remote.Hop(ctx)))
	t := newTask(r.deps.Contract[method], method, in, out, 0)
	t.away = true
	if deadline, ok := ctx.Deadline(); ok && !t.blocking {
		left := time.Until(deadline)
		t.bound = time.Duration(float64(left) * relayShare)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(float64(left)*2*relayShare))
		defer cancel()
	}
	err := r.abroad(ctx, dc, t, remote.Hop(ctx))
	if remote.Lost(err) && errors.Is(err, fault.Unavailable) || errors.Is(err, fault.NotLeader) {
		return fault.Newf(fault.Unavailable, "datacenter %s: %w", dc, err)
	}
	return err
}

// probe looks at servers of other datacenters: at new ones once, so that the
// first call does not find out what they are like, and at those that did not
// answer until they do.
func (r *Router) probe() {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		var list []Server
		select {
		case <-r.life.Done():
			return
		case <-r.fresh:
			r.mu.Lock()
			list, r.unproven = r.unproven, nil
			r.mu.Unlock()
		case <-tick.C:
			list = illAbroad(r)
		}
		for _, sv := range list {
			r.lookAt(sv)
		}
	}
}

// lookAt looks at a server, unless that is under way: one that is silent holds up
// no other.
func (r *Router) lookAt(sv Server) {
	set := r.set(sv.Datacenter)
	r.mu.Lock()
	defer r.mu.Unlock()
	if set == nil || r.looking[sv.ID] {
		return
	}
	r.looking[sv.ID] = true
	r.wg.Go(func() {
		look(r, set, sv)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.looking, sv.ID)
	})
}

func illAbroad(r *Router) (list []Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, set := range r.sets {
		if set.away {
			_, ill := set.split()
			list = append(list, ill...)
		}
	}
	return list
}

func look(r *Router, set *serverSet, sv Server) {
	c, err := r.pool.get(sv)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.life, probeTimeout)
	defer cancel()
	err = c.Ping(ctx)
	if r.life.Err() == nil {
		r.judge(set, sv, err)
	}
}
