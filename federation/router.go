package federation

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"go.uber.org/zap"
)

// Router carries calls to whoever can perform them. It implements rpc.Caller and
// rpc.Streamer.
type Router struct {
	cfg  Config
	deps Deps
	pool pool

	mu   sync.Mutex
	sets map[string]*serverSet // by datacenter; that of the own one always exists
	hand handers

	unproven []Server        // of other datacenters: nobody has asked them yet
	looking  map[string]bool // by node ID: servers that are being looked at
	fresh    chan struct{}   // of one place: there are some

	longest atomic.Int64 // Config.CallTimeout as it is now

	life context.Context // of the router
	stop context.CancelFunc
	wg   sync.WaitGroup
}

var _ interface {
	rpc.Caller
	rpc.Streamer
} = (*Router)(nil)

// New makes a router that knows no servers yet. It works at once; Open begins to
// spread the load.
func New(cfg Config, deps Deps) (*Router, error) {
	if deps.Logger == nil {
		return nil, errors.New("federation: a logger is needed")
	}
	if deps.Contract == nil {
		deps.Contract = rpc.All()
	}
	r := &Router{
		cfg: cfg, deps: deps,
		pool: pool{own: cfg.Datacenter, dial: deps.Dial, conns: map[string]*remote.Conn{}},
		sets: map[string]*serverSet{cfg.Datacenter: newServerSet(false)}, fresh: make(chan struct{}, 1), looking: map[string]bool{},
		hand: handers{via: map[string]string{}, bars: map[passing]time.Time{}},
	}
	r.life, r.stop = context.WithCancel(context.Background())
	SetCallTimeout(r, cfg.CallTimeout)
	return r, nil
}

// SetCallTimeout changes Config.CallTimeout, for calls from now on.
func SetCallTimeout(r *Router, d time.Duration) { r.longest.Store(int64(d)) }

// Open starts what moves clients from server to server now and then.
func (r *Router) Open(context.Context) error {
	if r.deps.Local == nil {
		r.wg.Go(r.rebalance)
	} else {
		r.wg.Go(r.probe)
	}
	return nil
}

// Close ends every call and conversation under way at other servers.
func (r *Router) Close() error {
	r.stop()
	r.wg.Wait()
	return r.pool.close()
}

// SetServers tells which servers there are, in all datacenters. This agent may be
// among them.
func (r *Router) SetServers(servers []Server) {
	byDC, byID := map[string][]Server{r.cfg.Datacenter: nil}, map[string]Server{}
	for _, sv := range servers {
		if sv.ID != r.cfg.NodeID {
			byDC[sv.Datacenter] = append(byDC[sv.Datacenter], sv)
			byID[sv.ID] = sv
		}
	}
	r.mu.Lock()
	for dc := range r.sets {
		if _, ok := byDC[dc]; !ok {
			delete(r.sets, dc)
		}
	}
	for dc, list := range byDC {
		if r.sets[dc] == nil {
			r.sets[dc] = newServerSet(dc != r.cfg.Datacenter)
		}
		if fresh := r.sets[dc].set(list); dc != r.cfg.Datacenter {
			r.unproven = append(r.unproven, fresh...)
		}
	}
	if len(r.unproven) > 0 {
		select {
		case r.fresh <- struct{}{}:
		default:
		}
	}
	r.mu.Unlock()
	r.pool.keep(byID)
}

// own is the servers of this datacenter.
func (r *Router) own() *serverSet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sets[r.cfg.Datacenter]
}

// Call performs an operation wherever that is possible. It implements rpc.Caller.
func (r *Router) Call(ctx context.Context, method string, in, out any) error {
	dc := rpc.DatacenterOf(in)
	t := newTask(r.deps.Contract[method], method, in, out, r.cfg.HoldTimeout)
	t.away = r.away(dc)
	if r.deps.Local == nil {
		t.hurry(time.Duration(r.longest.Load()))
	}
	if r.deps.Local != nil && !t.away {
		t.waitMax = pauseMaxLocal
	}
	if t.blocking && r.deps.Local != nil && !t.away {
		// A wait in this process ends by itself. The bound costs memory for each that waits.
		if t.home = t.try(ctx, r.deps.Local); !t.again(t.home) {
			return t.home
		}
	}
	return beyond(ctx, r, dc, t)
}

// beyond goes on with a call until it has an answer, or its time is over.
func beyond(ctx context.Context, r *Router, dc string, t *task) error {
	bounded, cancel := context.WithDeadline(ctx, t.began.Add(t.longest))
	defer cancel()
	for {
		err := r.attempt(bounded, dc, t)
		if errors.Is(err, fault.RateLimited) {
			t.limited = err
		}
		switch {
		case !t.again(err):
			return err
		case t.lost(err):
			return fault.Newf(fault.NoRoute, "No path to datacenter %s: %w", dc, err)
		case ctx.Err() != nil:
			return t.gaveUp(context.Cause(ctx))
		case bounded.Err() != nil || !t.pause(bounded):
			if ctx.Err() != nil {
				return t.gaveUp(context.Cause(ctx))
			}
			if t.limited != nil {
				return t.limited // also where the time was over before the last answer
			}
			if t.longest < t.hold && bounded.Err() != nil {
				return t.late()
			}
			return t.noLeader()
		}
	}
}

// attempt makes one round of a call.
func (r *Router) attempt(ctx context.Context, dc string, t *task) error {
	if t.away && r.deps.Local != nil {
		return r.abroad(ctx, dc, t, 0)
	}
	return r.round(ctx, t)
}

// To gives the way to one certain server, for what only that one can answer. Such
// a call is made once, and the server performs it itself or not at all.
func (r *Router) To(id string) rpc.Caller { return single{r, id} }

type single struct {
	r  *Router
	id string
}

func (s single) Call(ctx context.Context, method string, in, out any) error {
	if s.id == s.r.cfg.NodeID && s.r.deps.Local != nil {
		return s.r.deps.Local.Call(ctx, method, in, out)
	}
	sv, ok := s.r.own().find(s.id)
	if !ok {
		return fault.Newf(fault.Unavailable, "no server has the node ID %q", s.id)
	}
	c, err := s.r.pool.get(sv)
	if err != nil {
		return err
	}
	return c.Call(remote.WithHop(ctx, remote.MaxHop), method, in, out)
}

// round asks everybody who may know, once, and returns the first answer that is
// one, or the last reason why there is none.
func (r *Router) round(ctx context.Context, t *task) error {
	set, asked := r.own(), ""
	err := fault.Newf(fault.NoLeader, "No cluster leader")
	if local := r.deps.Local; local != nil {
		if err, t.home = t.home, nil; err == nil {
			err = t.try(ctx, local)
		}
		if !t.again(err) {
			return err
		}
		if id := local.LeaderID(); errors.Is(err, fault.NotLeader) {
			if leader, ok := set.find(id); ok {
				asked = id
				if err = r.askLeader(ctx, set, leader, t); !t.again(err) {
					return err
				}
			}
		}
		if errors.Is(err, fault.Unknown) || !t.mayAsk() {
			return err // look here first: there may be another leader by now
		}
	}
	others := set.candidates()
	if len(others) == 0 && r.deps.Local == nil {
		return t.stop(fault.Newf(fault.NoLeader, "No known Consul servers"))
	}
	for _, sv := range others {
		if sv.ID == asked {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if err = r.ask(ctx, set, sv, t); !t.again(err) {
			break
		}
	}
	return err
}

// ask tries one server, and remembers how that went.
func (r *Router) ask(ctx context.Context, set *serverSet, sv Server, t *task) error {
	return r.askAt(ctx, set, sv, t, 1)
}

// askAt is ask with the number of servers that the call comes to by it.
func (r *Router) askAt(ctx context.Context, set *serverSet, sv Server, t *task, hop int) error {
	c, err := r.pool.get(sv)
	if err != nil {
		return err
	}
	err = t.try(remote.WithHop(ctx, hop), c)
	if ctx.Err() == nil {
		r.judge(set, sv, err)
	}
	return err
}

// askLeader is ask for the leader that the own server knows. What may be tried
// again is not waited for any longer than that server leads.
func (r *Router) askLeader(ctx context.Context, set *serverSet, sv Server, t *task) error {
	if !t.idempotent || t.blocking {
		return r.ask(ctx, set, sv, t)
	}
	led, done := r.whileLeads(ctx, sv.ID)
	defer done()
	return r.ask(led, set, sv, t)
}

var errOtherLeader = errors.New("there is another leader")

// whileLeads gives a context that ends when the own server no longer takes id for
// the leader. It looks now and then; the time that most calls take is not worth a look.
func (r *Router) whileLeads(ctx context.Context, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var look func()
	look = func() {
		switch {
		case ctx.Err() != nil:
		case r.deps.Local.LeaderID() != id:
			cancel(errOtherLeader)
		default:
			time.AfterFunc(leaderLook, look)
		}
	}
	first := time.AfterFunc(leaderLook, look)
	return ctx, func() {
		first.Stop()
		cancel(context.Canceled)
	}
}

// judge remembers how a server answered.
func (r *Router) judge(set *serverSet, sv Server, err error) {
	switch {
	case remote.Lost(err):
		r.deps.Logger.Debug("a server did not answer; others are asked first for a while", zap.String("server", sv.Name), zap.Error(err))
		set.pass(sv.ID, true)
	case errors.Is(err, fault.NoLeader), errors.Is(err, fault.NotLeader), errors.Is(err, fault.Unavailable):
		set.pass(sv.ID, false) // it lives, but another may be better placed
	default:
		set.answered(sv.ID)
	}
}

// rebalance moves this client to another server now and then, so that load
// spreads again after servers came and went.
func (r *Router) rebalance() {
	for {
		t := time.NewTimer(r.stay())
		select {
		case <-r.life.Done():
			t.Stop()
			return
		case <-t.C:
		}
		r.move()
	}
}

// stay is how long this client stays with a server.
func (r *Router) stay() time.Duration {
	d := rebalanceMin + rand.N(rebalanceMax-rebalanceMin)
	if r.deps.ClusterSize == nil {
		return d
	}
	perSecond := movesPerServer * max(r.own().len(), 1)
	return max(d, time.Duration(r.deps.ClusterSize())*time.Second/time.Duration(perSecond))
}

// move picks another server at random. Calls go on at the present one until the
// other has shown that it lives.
func (r *Router) move() {
	set := r.own()
	for _, sv := range set.shuffled() {
		c, err := r.pool.get(sv)
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(r.life, probeTimeout)
		err = c.Ping(ctx)
		cancel()
		if r.life.Err() != nil {
			return
		}
		if err == nil {
			set.prefer(sv.ID)
			return
		}
		r.judge(set, sv, err)
	}
}
