package checkpoint

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"consul.internal/internal/fault"
	"consul.internal/internal/version"
	"consul.internal/rpc"
	"consul.internal/store/fsm"
	"consul.internal/store/state"
)

// Deps is what a Comparer needs of its server.
type Deps struct {
	Self   string // node ID
	Logger *zap.Logger
	// Life ends when the server closes.
	Life context.Context
	// Run runs what the server waits for when it closes; false, and nothing, once it does.
	Run func(func()) bool
	// Sum sums up a state.
	Sum func(ctx context.Context, index uint64, snap *state.Snapshot) (fsm.Sum, error)
	// Propose has a checkpoint written into the log; only the leader can.
	Propose func(context.Context, fsm.Checkpoint) (index uint64, err error)
	// Servers lists the members of the cluster.
	Servers func(context.Context) ([]*rpc.RaftServer, error)
	// Ask asks another server for its sum.
	Ask func(ctx context.Context, id string, in *rpc.RaftSumRequest) (*rpc.RaftSumReply, error)
	// Transfer hands leadership to another server.
	Transfer func(ctx context.Context, id string) error
	// Renew has the server give up its vote and its state, and fetch that of the
	// others; it returns when that has begun. index is what must be there again
	// before anybody hears of it. nil where the server cannot.
	Renew func(index uint64) error
}

// Comparer is one server's part in the comparison.
type Comparer struct {
	deps Deps
	turn chan struct{} // held while the states are compared

	mu      sync.Mutex
	sums    []fsm.Sum     // of the last checkpoints, newest last
	changed chan struct{} // closed, and made anew, with each sum
	taken   *taken        // to be summed up
	busy    bool          // somebody sums up
	healing bool
	healed  time.Time // when this server last gave up its state
	differ  int       // servers that differed when this one last compared
}

// taken is a state at a checkpoint.
type taken struct {
	index uint64
	snap  *state.Snapshot
}

const (
	// compareEvery: a walk over 30,000 instances takes a third of a second of one
	// processor, which is nothing in five minutes; memory errors are rare.
	compareEvery = 5 * time.Minute
	// compareFirst is how soon a new leader compares: after the commotion of an
	// election, in which others are still catching up.
	compareFirst = 30 * time.Second
	// compareTimeout bounds one comparison: the walk over a large state, and the
	// lag of a busy server. Who has no sum by then is not judged.
	compareTimeout = 10 * time.Second
	// sumWait is how long a server that is asked waits for its own sum.
	sumWait = 500 * time.Millisecond
	// sumPause lies between questions to a server that does not answer.
	sumPause = 100 * time.Millisecond
	// keepSums: the present checkpoint, and some before it in case answers are late.
	keepSums = 4
	// healAgain: a server that has fetched everything and differs again so soon has
	// a trouble that fetching does not mend; it says so, and goes on.
	healAgain = time.Hour
)

// New makes a Comparer. Its Passed is for the FSM, its Run for the leader.
func New(deps Deps) *Comparer {
	return &Comparer{deps: deps, turn: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Differ is how many servers had a state of their own when this one last compared.
func (c *Comparer) Differ() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.differ
}

// Run compares now and then, as a duty of the leader.
func (c *Comparer) Run(ctx context.Context) {
	for wait := compareFirst; ; wait = compareEvery {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		servers, err := c.deps.Servers(ctx)
		if err == nil && len(servers) > 1 {
			_, err = c.Compare(ctx)
		}
		if err != nil && ctx.Err() == nil {
			c.deps.Logger.Warn("the states of the servers were not compared; trying again later", zap.Error(err))
		}
	}
}

// Passed is called by the FSM at each checkpoint.
func (c *Comparer) Passed(index uint64, cp fsm.Checkpoint, snap *state.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cp.Sum != "" {
		c.judged(index, cp)
		return
	}
	c.taken = &taken{index, snap}
	if !c.busy {
		c.busy = c.deps.Run(c.sumUp)
	}
}

// sumUp sums up what was taken, the newest only if it comes too fast.
func (c *Comparer) sumUp() {
	for {
		c.mu.Lock()
		t := c.taken
		c.taken = nil
		c.busy = t != nil
		c.mu.Unlock()
		if t == nil {
			return
		}
		sum, err := c.deps.Sum(c.deps.Life, t.index, t.snap)
		if err != nil {
			if c.deps.Life.Err() == nil {
				c.deps.Logger.Error("the state cannot be summed up", zap.Error(err))
			}
			continue
		}
		c.mu.Lock()
		c.sums = append(c.sums, sum)
		c.sums = slices.Clone(c.sums[max(0, len(c.sums)-keepSums):])
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
	}
}

// at is the sum at a checkpoint. c.mu is held.
func (c *Comparer) at(index uint64) (fsm.Sum, bool) {
	i := slices.IndexFunc(c.sums, func(s fsm.Sum) bool { return s.Index == index })
	if i < 0 {
		return fsm.Sum{}, false
	}
	return c.sums[i], true
}

// await waits for the sum at a checkpoint until ctx ends.
func (c *Comparer) await(ctx context.Context, index uint64) (fsm.Sum, bool) {
	for {
		c.mu.Lock()
		sum, ok := c.at(index)
		changed := c.changed
		c.mu.Unlock()
		if ok {
			return sum, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return sum, false
		case <-c.deps.Life.Done():
			return sum, false
		}
	}
}

// Answer tells the leader this server's sum at a checkpoint.
func (c *Comparer) Answer(ctx context.Context, in *rpc.RaftSumRequest) (*rpc.RaftSumReply, error) {
	ctx, cancel := context.WithTimeout(ctx, sumWait)
	defer cancel()
	out := &rpc.RaftSumReply{Version: version.Build()}
	if sum, ok := c.await(ctx, in.Index); ok {
		out.Known, out.Sum, out.Tables = true, sum.Whole, sum.Tables
	}
	return out, nil
}

// Compare compares the states of all servers as they are now, and has those heal
// that stand alone. Only the leader can.
func (c *Comparer) Compare(ctx context.Context) (*rpc.RaftCompareReply, error) {
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, fault.Newf(fault.Unavailable, "the states are being compared already")
	}
	index, err := c.deps.Propose(ctx, fsm.Checkpoint{})
	if err != nil {
		return nil, err
	}
	servers, err := c.deps.Servers(ctx)
	if err != nil {
		return nil, err
	}
	out := &rpc.RaftCompareReply{Index: index, Servers: make([]rpc.RaftState, len(servers))}
	var wg sync.WaitGroup
	for i, sv := range servers {
		wg.Go(func() {
			out.Servers[i] = rpc.RaftState{ID: sv.ID, Node: sv.Node, Voter: sv.Voter, Leader: sv.ID == c.deps.Self, RaftSumReply: c.ask(ctx, sv.ID, index)}
		})
	}
	wg.Wait()
	out.Agreed, out.Version = agreed(out.Servers)
	out.Same = out.Agreed != ""
	for _, sv := range out.Servers {
		out.Same = out.Same && sv.Sum == out.Agreed
	}
	if err := c.act(ctx, out); err != nil {
		c.deps.Logger.Warn("the comparison of the servers' states had no consequence; trying again later", zap.Error(err))
	}
	return out, nil
}

// ask asks one server for its sum until it has one or the time is over.
func (c *Comparer) ask(ctx context.Context, id string, index uint64) rpc.RaftSumReply {
	in := &rpc.RaftSumRequest{Index: index}
	for {
		ask := c.deps.Ask
		if id == c.deps.Self {
			ask = func(ctx context.Context, _ string, in *rpc.RaftSumRequest) (*rpc.RaftSumReply, error) {
				return c.Answer(ctx, in)
			}
		}
		try, cancel := context.WithTimeout(ctx, 2*sumWait)
		out, err := ask(try, id, in)
		cancel()
		if err == nil && out.Known {
			return *out
		}
		select {
		case <-time.After(sumPause):
		case <-ctx.Done():
			return rpc.RaftSumReply{}
		}
	}
}

// agreed is the sum of more than half of all voters, those counted that did not
// answer, and the version of the program that they run; "" for none.
func agreed(servers []rpc.RaftState) (sum, version string) {
	type side struct{ sum, version string }
	voters, votes := 0, map[side]int{}
	for _, sv := range servers {
		if sv.Voter {
			voters++
			votes[side{sv.Sum, sv.Version}]++
		}
	}
	for of, n := range votes {
		if of.sum != "" && n > voters/2 {
			return of.sum, of.version
		}
	}
	return "", ""
}

// apart are the servers whose sum is not the majority's, or, where there is no
// majority, all that have one if they are not of one mind.
func apart(r *rpc.RaftCompareReply) (out []rpc.RaftState) {
	known := slices.DeleteFunc(slices.Clone(r.Servers), func(sv rpc.RaftState) bool { return !sv.Known })
	for _, sv := range known {
		other := func(o rpc.RaftState) bool { return o.Version == sv.Version && o.Sum != sv.Sum }
		if r.Agreed != "" && sv.Version == r.Version && sv.Sum != r.Agreed || r.Agreed == "" && slices.ContainsFunc(known, other) {
			out = append(out, sv)
		}
	}
	return out
}

// act does what follows from a comparison.
func (c *Comparer) act(ctx context.Context, r *rpc.RaftCompareReply) error {
	odd := apart(r)
	c.mu.Lock()
	c.differ = len(odd)
	c.mu.Unlock()
	self, next := false, "" // this server stands alone; who could lead instead
	for _, sv := range r.Servers {
		if sv.Voter && sv.Sum == r.Agreed {
			next = sv.ID
		}
	}
	for _, sv := range odd {
		self = self || sv.ID == c.deps.Self
		c.deps.Logger.Error("the state of a server differs from that of the others", zap.String("id", sv.ID), zap.String("node", sv.Node),
			zap.Uint64("index", r.Index), zap.Strings("tables", differing(sv, r)), zap.Bool("majority", r.Agreed != ""))
	}
	switch {
	case len(odd) == 0:
		return nil
	case r.Agreed == "":
		c.deps.Logger.Error("the states of the servers differ, and no majority agrees: nothing is done about it. Save a snapshot of the server whose answers are right (consul snapshot save -stale, on that server), and restore it")
		return nil
	case self:
		c.deps.Logger.Error("this server leads, but its state is not that of the majority: it hands leadership over", zap.String("to", next))
		return c.deps.Transfer(ctx, next)
	}
	_, err := c.deps.Propose(ctx, fsm.Checkpoint{At: r.Index, Sum: r.Agreed, Version: r.Version})
	return err
}

// differing are the tables in which a server differs from one that has the
// majority's sum, or from any other.
func differing(sv rpc.RaftState, r *rpc.RaftCompareReply) (tables []string) {
	i := slices.IndexFunc(r.Servers, func(o rpc.RaftState) bool {
		return o.Known && o.Version == sv.Version && o.Sum != sv.Sum && (r.Agreed == "" || o.Sum == r.Agreed)
	})
	if i < 0 {
		return nil
	}
	theirs := r.Servers[i].Tables
	for table := range theirs {
		if sv.Tables[table] != theirs[table] {
			tables = append(tables, table)
		}
	}
	for table := range sv.Tables {
		if _, ok := theirs[table]; !ok {
			tables = append(tables, table)
		}
	}
	slices.Sort(tables)
	return tables
}

// judged is told, by the FSM, what sum a majority had. c.mu is held.
func (c *Comparer) judged(index uint64, v fsm.Checkpoint) {
	own, known := c.at(v.At)
	if !known || v.Version != version.Build() || own.Whole == v.Sum || c.healing {
		return
	}
	log := c.deps.Logger.With(zap.Uint64("index", v.At))
	switch {
	case c.deps.Renew == nil:
		log.Error("the state of this server differs from that of the others, and it cannot heal by itself: stop it, move its raft directory away and start it again")
	case !c.healed.IsZero() && time.Since(c.healed) < healAgain:
		log.Error("the state of this server differs from that of the others again, though it has fetched everything from them. Look at its memory; else report this with the tables that the leader has named")
	default:
		log.Error("the state of this server differs from that of a majority of the servers. It gives up its vote and fetches everything from the others")
		c.healing = c.deps.Run(func() { c.heal(index) })
	}
}

// heal has this server give up its state.
func (c *Comparer) heal(index uint64) {
	err := c.deps.Renew(index)
	if err != nil && c.deps.Life.Err() == nil {
		c.deps.Logger.Error("the state that differs cannot be fetched anew", zap.Error(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.healing, c.healed, c.sums = false, time.Now(), nil
}
