package copied

import (
	"slices"
	"sync"
	"time"
)

// Wait is how long the primary may keep a question for changes: shorter than the time
// after which devices on the way forget a silent connection.
const Wait = time.Minute

// Copy is how copying something from the primary datacenter goes, while this server
// leads a secondary one.
type Copy struct {
	What    string // "config entries"
	Index   uint64 // of the primary, that has been copied
	Current bool   // the last question to the primary was answered
	At      time.Time
	Error   string // of the last question, if it failed
}

// Lag is for how long nothing is known of the primary. It answers a question once
// there is something new, or after a minute: so long it is no lag.
func (c Copy) Lag(now time.Time) time.Duration {
	if c.Current {
		return max(0, now.Sub(c.At)-Wait)
	}
	return now.Sub(c.At)
}

// Progress is that of all that is copied.
type Progress struct {
	mu  sync.Mutex
	all []Copy
}

func (p *Progress) Note(what string, change func(*Copy)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.all {
		if p.all[i].What == what {
			change(&p.all[i])
			return
		}
	}
	c := Copy{What: what, At: time.Now()}
	change(&c)
	p.all = append(p.all, c)
}

func (p *Progress) Drop(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.all {
		if p.all[i].What == what {
			p.all = append(p.all[:i:i], p.all[i+1:]...)
			return
		}
	}
}

// All is how it goes with each of them.
func (p *Progress) All() []Copy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}
