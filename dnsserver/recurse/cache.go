package recurse

import (
	"container/list"
	"sync"
	"time"
)

// cache remembers answers, those used last. It is bounded by their number and
// by what they take up.
type cache struct {
	maxEntries, maxBytes int
	maxStale             time.Duration

	mu     sync.Mutex
	epoch  uint64 // grows when all is forgotten
	byKey  map[string]*list.Element
	recent list.List // of *held, those used last in front
	bytes  int
}

// held is one answer. All but retry never changes.
type held struct {
	key     string
	answer  reply
	at      time.Time // when it came
	expires time.Time // until when it is fresh
	retry   time.Time // not asked again before, since that failed
}

// heldOverhead is what an entry takes up beside its key and its message: the
// structs, the list's and the map's share.
const heldOverhead = 256

func (h *held) size() int { return 2*len(h.key) + len(h.answer.wire) + heldOverhead }

func newCache(l *Limits) *cache {
	return &cache{maxEntries: l.CacheEntries, maxBytes: l.CacheBytes, maxStale: l.MaxStale, byKey: map[string]*list.Element{}}
}

// get returns an answer, fresh or old, and whether it is time to ask again.
func (c *cache) get(key string, now time.Time) (h *held, fresh, ask bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil, false, true
	}
	h = e.Value.(*held)
	if now.After(h.expires.Add(c.maxStale)) {
		c.remove(e)
		return nil, false, true
	}
	c.recent.MoveToFront(e)
	fresh = now.Before(h.expires)
	return h, fresh, !fresh && !now.Before(h.retry)
}

// put remembers an answer that was asked for in an epoch.
func (c *cache) put(epoch uint64, h *held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch || h.size() > c.maxBytes || c.maxEntries == 0 {
		return
	}
	if e, ok := c.byKey[h.key]; ok {
		c.remove(e)
	}
	c.byKey[h.key] = c.recent.PushFront(h)
	c.bytes += h.size()
	for c.recent.Len() > c.maxEntries || c.bytes > c.maxBytes {
		c.remove(c.recent.Back())
	}
}

// forget drops an answer that a newer one, which is not remembered, has replaced.
func (c *cache) forget(epoch uint64, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok && epoch == c.epoch {
		c.remove(e)
	}
}

// failed notes that an old answer could not be renewed.
func (c *cache) failed(key string, retry time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		e.Value.(*held).retry = retry
	}
}

func (c *cache) remove(e *list.Element) {
	h := c.recent.Remove(e).(*held)
	delete(c.byKey, h.key)
	c.bytes -= h.size()
}

// clear forgets everything, also what is being asked for, and returns the epoch
// that begins.
func (c *cache) clear() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.byKey = map[string]*list.Element{}
	c.recent.Init()
	c.bytes = 0
	return c.epoch
}

func (c *cache) size() (entries, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.Len(), c.bytes
}
