package recurse

import (
	"strings"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/catalog"
)

const (
	// minLetters is from how many letters on a name's spelling tells our questions
	// from those of others: they meet by chance once in 1,024 times then, and
	// only while both are under way. Questions with fewer that come back join
	// their own flight and end with it.
	minLetters = 10
	// loopWarning is how often a loop is logged at most.
	loopWarning = time.Minute
)

// sendOff chooses the spelling of a question and notes it for as long as the
// question is under way, until back is called. One that was spelled in such a
// way before goes on as it is: somebody may know it again, and may send it again.
func (r *Recursor) sendOff(q dns.Question) (spelled string, back func()) {
	if q.Name != catalog.Fold(q.Name) && q.Name != strings.ToUpper(q.Name) {
		return q.Name, func() {}
	}
	spelled, letters := spell(q.Name, r.deps.Coin)
	for try := 0; letters >= minLetters && plain(spelled, q.Name) && try < 3; try++ {
		spelled, _ = spell(q.Name, r.deps.Coin) // one that others use would tell nothing
	}
	if letters < minLetters || plain(spelled, q.Name) {
		return spelled, func() {}
	}
	q.Name = spelled
	r.mu.Lock()
	r.abroad[q]++
	r.mu.Unlock()
	return spelled, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.abroad[q]--; r.abroad[q] <= 0 {
			delete(r.abroad, q)
		}
	}
}

// plain reports a spelling that an asker would use too.
func plain(spelled, asked string) bool {
	return spelled == asked || spelled == catalog.Fold(spelled)
}

// ours reports a question that one of our own has come back as.
func (r *Recursor) ours(q dns.Question) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.abroad[q] > 0
}

// looped counts a loop and names it to a person, now and then.
func (r *Recursor) looped(q dns.Question) {
	r.count.loops.Add(1)
	now := time.Now().UnixNano()
	last := r.warned.Load()
	if last != 0 && now-last < int64(loopWarning) || !r.warned.CompareAndSwap(last, now) {
		return
	}
	r.deps.Logger.Warn("a recursor sends our own questions back to us; take this agent out of its forwarders for names outside the domain, or it out of recursors",
		zap.String("name", q.Name), zap.Any("recursors", r.set.Load().cfg.Upstreams))
}
