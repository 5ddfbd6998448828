package prepared

import (
	"container/list"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
)

// Answer is what came of executing a query.
type Answer struct {
	zone.Result
	Index  uint64 // of the result
	Sorted bool   // its order means something
	// Lasts says that the result is the same for everybody until its index passes.
	Lasts bool
}

// ErrRefused is wrapped by the error of a Fetch whose token may not ask, or not any
// more: what was learned with it is forgotten.
var ErrRefused = errors.New("the token may not ask")

// Fetch executes a query. With after > 0 it waits, for a while, until the index of
// the result has passed it.
type Fetch func(ctx context.Context, ask zone.Ask, after uint64) (Answer, error)

// Cache executes prepared queries and keeps what came of them. It is safe for
// concurrent use.
type Cache struct {
	cfg   Config
	fetch Fetch

	mu        sync.Mutex
	kept      map[key]*list.Element // of *entry
	recent    *list.List            // the one asked for last in front
	instances int                   // in all of them
	followed  int
	forgotten uint64        // times that all was
	owner     string        // in whose name queries are executed
	changed   chan struct{} // of one place: the file is behind

	life context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
}

type key struct{ datacenter, name string }

// entry is the last result of a name. The cache's lock guards it.
type entry struct {
	key
	answer   Answer
	followed bool // somebody waits for changes: the answer is fresh
	asked    time.Time
	failed   time.Time // when fetching it failed last, zero after a success
}

// New makes an empty cache.
func New(cfg Config, fetch Fetch) *Cache {
	c := &Cache{cfg: cfg, fetch: fetch, kept: map[key]*list.Element{}, recent: list.New(), changed: make(chan struct{}, 1)}
	c.life, c.stop = context.WithCancel(context.Background())
	return c
}

// Close ends the following of names. What is asked for then is fetched as before.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}

// Execute gives a query's result: out of memory while its name is followed, else
// by executing it, else, where that fails, the last one there was, marked stale.
// It is a zone.Execute.
func (c *Cache) Execute(ctx context.Context, ask zone.Ask) (zone.Result, error) {
	k := key{ask.Datacenter, ask.Name}
	old, use, times := c.look(k)
	if use {
		return old, nil
	}
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if old.Stale {
		bounded, cancel = context.WithTimeout(ctx, c.cfg.Patience)
	}
	defer cancel()
	a, err := c.fetch(bounded, ask, 0)
	switch {
	case err == nil && len(a.Instances) == 0:
		c.forget(k) // or any name that a template takes would cost memory
		return a.Result, nil
	case err == nil:
		c.keep(k, a, ask, times)
		return a.Result, nil
	case void(err):
		c.forget(k)
		return zone.Result{}, err
	}
	if c.failed(k); old.Stale {
		return old, nil
	}
	return zone.Result{}, err
}

// look finds what is kept of a name; use says that it will do without asking.
// What is not fresh is marked stale. times is how often all was forgotten until now.
func (c *Cache) look(k key) (res zone.Result, use bool, times uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.kept[k]
	if !ok {
		return zone.Result{}, false, c.forgotten
	}
	c.recent.MoveToFront(el)
	e := el.Value.(*entry)
	e.asked = time.Now()
	res = e.answer.Result
	if !e.answer.Sorted {
		res.Instances = slices.Clone(res.Instances)
		rand.Shuffle(len(res.Instances), func(i, j int) { res.Instances[i], res.Instances[j] = res.Instances[j], res.Instances[i] })
	}
	if e.followed {
		return res, true, c.forgotten
	}
	res.Stale = true
	return res, !e.failed.IsZero() && e.asked.Sub(e.failed) < c.cfg.Pause, c.forgotten
}

// keep takes a fresh result in, unless all was forgotten since it was asked for, and
// follows its name if that can be done.
func (c *Cache) keep(k key, a Answer, ask zone.Ask, times uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if times != c.forgotten {
		return
	}
	e := c.set(k, a)
	e.asked = time.Now()
	if !a.Lasts || e.followed || c.followed >= c.cfg.Followed || c.life.Err() != nil {
		return
	}
	e.followed = true
	c.followed++
	c.wg.Go(func() { c.follow(e, ask, a.Index) })
}

// set replaces the answer of a name. What was not asked for the longest makes room.
func (c *Cache) set(k key, a Answer) *entry {
	a.Instances = slices.Clip(a.Instances)
	el, ok := c.kept[k]
	if !ok {
		el = c.recent.PushFront(&entry{key: k})
		c.kept[k] = el
	}
	e := el.Value.(*entry)
	if !ok || !a.same(&e.answer) {
		c.poke()
	}
	c.instances += len(a.Instances) - len(e.answer.Instances)
	e.answer, e.failed = a, time.Time{}
	for last := c.recent.Back(); last != el && (len(c.kept) > c.cfg.Names || c.instances > c.cfg.Instances); last = c.recent.Back() {
		c.drop(last)
	}
	return e
}

func (c *Cache) drop(el *list.Element) {
	e := c.recent.Remove(el).(*entry)
	delete(c.kept, e.key)
	c.instances -= len(e.answer.Instances)
	c.poke()
}

func (c *Cache) forget(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.kept[k]; ok {
		c.drop(el)
	}
}

// void reports whether an error makes what was learned before worth nothing.
func void(err error) bool {
	return errors.Is(err, fault.NotFound) || errors.Is(err, fault.Denied) || errors.Is(err, ErrRefused)
}

// Forget drops all that was learned, since others may not know it: it is asked for in
// the name of another owner from now on.
func (c *Cache) Forget(owner string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owner = owner
	c.forgotten++
	c.poke() // also where nothing was kept, the file says of whom that is
	for el := c.recent.Front(); el != nil; el = c.recent.Front() {
		c.drop(el)
	}
}

func (c *Cache) failed(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.kept[k]; ok {
		el.Value.(*entry).failed = time.Now()
	}
}

// follow keeps a name's answer fresh until nobody asks for it, it cannot be had,
// or it no longer lasts.
func (c *Cache) follow(e *entry, ask zone.Ask, index uint64) {
	for {
		a, err := c.fetch(c.life, ask, index)
		if !c.took(e, a, err) {
			return
		}
		index = a.Index
		c.sleep(c.cfg.Gather)
	}
}

// took takes in what following brought, and reports whether to go on.
func (c *Cache) took(e *entry, a Answer, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, there := c.kept[e.key]
	there = there && el.Value.(*entry) == e
	gone := err == nil && len(a.Instances) == 0 || void(err)
	switch {
	case there && gone:
		c.drop(el)
	case there && err == nil:
		c.set(e.key, a)
	}
	if there && !gone && err == nil && a.Lasts && time.Since(e.asked) < c.cfg.Idle && c.life.Err() == nil {
		return true
	}
	e.followed = false
	c.followed--
	return false
}
