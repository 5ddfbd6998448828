package leader

import (
	"context"
	"errors"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"consul.internal/catalog"
	"consul.internal/rpc"
	"go.uber.org/zap"
)

const (
	// interval between full reconciles, for whatever an event did not tell: as
	// often as agents compare their own state.
	interval = time.Minute
	// retryPause is how soon what failed, or what is doubtful, is looked at again.
	retryPause = time.Second
	// strangerGrace is how long a pool may have been open without meeting a node
	// that the catalog holds as its member: after all servers were down at once,
	// the agents find them again within half of it.
	strangerGrace = time.Minute
	// maxLooks at members at a time. When half of a large datacenter is cut off, each
	// look costs packets for as long as it lasts.
	maxLooks = 128
)

// errSilence: the catalog has a member critical that the pool holds for alive, and
// it has to be asked itself before it is passing again.
var errSilence = errors.New("leader: to be asked itself")

// Cluster is the raft cluster as the leader changes it.
type Cluster interface {
	// AddServer takes a server in, or learns its new address. It does nothing for
	// a server that stands there so. It fails with fault.Conflict for one that belongs
	// to another cluster, and with fault.Unavailable for one that does not say.
	AddServer(ctx context.Context, id, addr string, voter bool) error
	// RemoveServer takes a server out; fault.NotFound if there is none.
	RemoveServer(ctx context.Context, id string) error
	// RemoveForeign takes a server without a vote out, if it is there: it belongs to
	// another cluster.
	RemoveForeign(ctx context.Context, id string) error
}

// Reconciler keeps the catalog, and raft's servers, in step with the pool.
type Reconciler struct {
	// Caller is this server's own.
	Caller rpc.Caller
	// Self is this server's node ID.
	Self string
	// Members lists all members that the pool remembers.
	Members func() []Member
	// Changed tells that members may have changed: it may be sent to by anybody and
	// must be buffered. Nil is never.
	Changed <-chan struct{}
	// Reachable probes a member directly. Nil reaches nobody.
	Reachable func(context.Context, Member) bool
	// Doubts has names of members that somebody had no answer from, long before the
	// pool believes them failed. Nil is never.
	Doubts <-chan string
	// Silent looks at such a member for a while, and tells whether it gave no sign of
	// life to anybody. Nil: nobody is.
	Silent func(ctx context.Context, name string) bool
	// Cluster is nil where there is nothing to join.
	Cluster Cluster
	// ClusterID of the raft cluster that this server leads; nil = not asked.
	ClusterID func() string
	// Opened is since when the pool has been meeting members.
	Opened time.Time
	// Forget is how long a member is remembered that the pool has never met.
	Forget time.Duration
	Log    *zap.Logger

	mu       sync.Mutex
	looking  map[string]bool // names that are being looked at because of a doubt
	doubtful map[string]bool // names to look at again soon
	met      map[string]bool // every name that the pool has had
}

// Run reconciles at once, at each change and every minute until the leadership ends.
func (r *Reconciler) Run(ctx context.Context) {
	full := time.NewTicker(interval)
	defer full.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { r.heed(ctx) })
	for ctx.Err() == nil {
		r.mu.Lock()
		r.doubtful = nil
		r.mu.Unlock()
		err := r.Reconcile(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Error("failed to reconcile members with the catalog; trying again", zap.Error(err))
		}
		soon := time.NewTimer(retryPause)
		if err == nil && !r.inDoubt() {
			soon.Stop()
		}
		select {
		case <-r.Changed:
		case <-full.C:
		case <-soon.C:
		case <-ctx.Done():
		}
		soon.Stop()
	}
}

func (r *Reconciler) later(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.doubtful == nil {
		r.doubtful = map[string]bool{}
	}
	r.doubtful[name] = true
}

func (r *Reconciler) inDoubt() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.doubtful) > 0
}

// Reconcile does it once: each member, then the nodes that the pool has
// forgotten. One member's trouble keeps none of the others waiting; the first
// error is returned.
func (r *Reconciler) Reconcile(ctx context.Context) error {
	members := r.Members()
	known := make(map[string]bool, len(members))
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	var silent []Member // they must be asked themselves
	for _, m := range members {
		known[catalog.Fold(m.Name)] = true
		if m.Status == Leaving {
			r.later(m.Name)
		}
		switch m.Status {
		case Leaving:
			continue
		case Failed:
			silent = append(silent, m)
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := r.member(ctx, m)
		switch {
		case !errors.Is(err, errSilence):
			note(err)
		case !r.taken(m.Name): // else it is being asked
			silent = append(silent, m)
		}
	}
	// Probing those who do not answer takes its time: all at once.
	var wg sync.WaitGroup
	results := make(chan error, len(silent))
	slots := make(chan struct{}, maxLooks)
	for _, m := range silent {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if m.Status == Failed {
				results <- r.failed(ctx, m)
			} else if r.Reachable(ctx, m) {
				results <- r.alive(ctx, m, true)
			} else {
				r.later(m.Name)
				results <- nil
			}
		})
	}
	wg.Wait()
	close(results)
	for err := range results {
		note(err)
	}
	note(r.reap(ctx, known))
	return first
}

// reap is for the nodes that were members once and that the pool does not have
// now. Those that it met and forgot are removed. Those that it never met (all
// servers were down when they went) turn critical and are removed much later.
// Nodes that were never members have no check of their life.
func (r *Reconciler) reap(ctx context.Context, known map[string]bool) error {
	r.mu.Lock()
	if r.met == nil {
		r.met = map[string]bool{}
	}
	maps.Copy(r.met, known)
	met := maps.Clone(r.met)
	r.mu.Unlock()
	out, err := rpc.Call(ctx, r.Caller, rpc.HealthState, &rpc.StateRequest{ReadOptions: local(), State: catalog.Any})
	if err != nil {
		return err
	}
	open := time.Since(r.Opened)
	for _, c := range out.Checks {
		name := catalog.Fold(c.Node)
		if c.CheckID != catalog.SerfHealth || known[name] {
			continue
		}
		switch {
		case met[name] || r.Forget > 0 && open > r.Forget:
			r.Log.Info("deregistering member", zap.String("member", c.Node), zap.String("reason", "reaped"))
			_, err = rpc.Call(ctx, r.Caller, rpc.CatalogDeregister, &rpc.DeregisterRequest{Node: c.Node})
		case open > strangerGrace && c.Status != catalog.Critical:
			r.Log.Info("member has not been seen since this server started, marking health critical", zap.String("member", c.Node))
			err = r.critical(ctx, &catalog.Node{Name: c.Node})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func joinPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
