package observe

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// A window of counts has sets*ways questions, 300 KB; who is among the first hundred
	// is far from the least in its set.
	sets = 128
	ways = 8
	// windowTime is how long one window counts; the present and the last are shown.
	windowTime = 10 * time.Minute
	// maxKey is a name and a type.
	maxKey = 255 + 2
)

// Top counts what is asked for most, in bounded memory: a question that has no place
// takes that of the least one of its set, and its count (space-saving; Metwally,
// Agrawal, El Abbadi, 2005). Counts are never too low, and too high by no more than
// is said with them.
type Top struct {
	seed maphash.Seed

	mu        sync.Mutex
	now, last *window
}

type window struct {
	began time.Time
	total uint64
	slots [sets][ways]slot
}

type slot struct {
	count, surplus uint64
	hash           uint64
	rcode          uint8
	n              uint16 // bytes of key
	key            [maxKey]byte
}

// NewTop returns a Top that has counted nothing.
func NewTop() *Top { return &Top{seed: maphash.MakeSeed()} }

// Add counts a question that stands for n; its key is the name in lower case, as in a
// message, and the type after it. It does not wait: while others count it is left out.
func (t *Top) Add(key []byte, rcode, n int, now time.Time) {
	if len(key) > maxKey || n <= 0 || !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	t.turn(now)
	w := t.now
	w.total += uint64(n)
	h := maphash.Bytes(t.seed, key)
	set := &w.slots[h%sets]
	least := &set[0]
	for i := range set {
		s := &set[i]
		if s.hash == h && bytes.Equal(s.key[:s.n], key) {
			s.count += uint64(n)
			s.rcode = uint8(rcode)
			return
		}
		if s.count < least.count {
			least = s
		}
	}
	least.surplus = least.count
	least.count += uint64(n)
	least.hash, least.rcode = h, uint8(rcode)
	least.n = uint16(copy(least.key[:], key))
}

// turn begins a new window when it is time for one.
func (t *Top) turn(now time.Time) {
	if t.now != nil && now.Sub(t.now.began) < windowTime {
		return
	}
	spare := t.last
	if spare == nil {
		spare = new(window)
	}
	t.last, t.now = t.now, spare
	spare.began, spare.total = now, 0
	clear(spare.slots[:])
	if t.last != nil && now.Sub(t.last.began) >= 2*windowTime {
		clear(t.last.slots[:]) // nobody has asked for long
		t.last.began, t.last.total = now, 0
	}
}

// Summary is what has been asked for most.
type Summary struct {
	Since     time.Time // when counting began
	Seconds   float64   // from then until now
	Questions uint64    // all of them
	Names     []Count   // the first of them, the most frequent first
}

// Count is how often something was asked for.
type Count struct {
	Name      string
	Type      string
	Questions uint64
	Surplus   uint64 // by so much the count may be too high
	Status    string // of the last answer
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Summary returns the n questions that were asked most in the last ten to twenty minutes.
func (t *Top) Summary(n int, now time.Time) Summary {
	out := Summary{Since: now, Names: []Count{}}
	by := map[string]*slot{}
	var keys []string
	t.mu.Lock()
	if t.now != nil {
		t.turn(now)
	}
	for _, w := range []*window{t.now, t.last} {
		if w == nil {
			continue
		}
		out.Since = minTime(out.Since, w.began)
		out.Questions += w.total
		for i := range w.slots {
			for j := range w.slots[i] {
				s := &w.slots[i][j]
				if s.count == 0 {
					continue
				}
				key := string(s.key[:s.n])
				if have := by[key]; have != nil {
					have.count += s.count
					have.surplus += s.surplus
					continue
				}
				c := *s
				by[key] = &c
				keys = append(keys, key)
			}
		}
	}
	t.mu.Unlock()
	out.Seconds = now.Sub(out.Since).Seconds()
	slices.SortFunc(keys, func(a, b string) int {
		x, y := by[a], by[b]
		return cmp.Or(cmp.Compare(y.count-y.surplus, x.count-x.surplus), cmp.Compare(a, b))
	})
	for _, key := range keys[:min(max(n, 0), len(keys))] {
		s := by[key]
		name, at, err := dns.UnpackDomainName([]byte(key), 0)
		if err != nil || len(key) != at+2 {
			continue // nobody counts such a thing
		}
		out.Names = append(out.Names, Count{
			Name: name, Type: dns.Type(uint16(key[at])<<8 | uint16(key[at+1])).String(),
			Questions: s.count, Surplus: s.surplus, Status: Status(int(s.rcode)),
		})
	}
	return out
}
