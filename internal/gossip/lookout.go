package gossip

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"consul.internal/internal/fault"
	"go.uber.org/zap"
)

// The first byte of our own messages, far from those of serf.
const (
	msgDoubt  = 0xE0 // I had no answer from Node
	msgAsk    = 0xE1 // ask Node for me
	msgAnswer = 0xE2 // it answered
)

const (
	// maxLookoutMessage: two names of 128 characters and a number.
	maxLookoutMessage = 512
	// lookPause between two looks at a silent member: so many that loss cannot take
	// all of them (at 30 % each way, one of a million times all twenty are lost).
	lookPause = 50 * time.Millisecond
	// looks without an answer that make a member silent; with lastLook a second.
	looks = 17
	// lastLook is how long the answer to the last look may take.
	lastLook = 150 * time.Millisecond
	// lateLooks: a look that comes late shows that this machine is busy, and proves
	// nothing; after so many nothing can be said.
	lateLooks = 3 * looks
	// patientLooks: where packets are lost, most doubts end with the first look or
	// two, and a connection for each would be too much.
	patientLooks = 3
	// helpers are asked at every second look.
	helpers = 3
	// maxHelping looks for others at a time: more are not worth an answer.
	maxHelping = 64
	// maxDoubts that nobody has read; more come again with the next probe.
	maxDoubts = 256
)

// watch is a member's place among those who hear of doubts.
type watch struct {
	name string
	at   netip.AddrPort
}

// lookout carries word of members that have not answered a probe to those who act
// on it, and finds out whether a member is really silent. The library's own way is
// a rumour that takes some seconds to become a death.
type lookout struct {
	name    string
	guard   *guard
	network Network
	log     *zap.Logger
	watches bool // this member hears of doubts itself
	run     func(func()) bool
	ping    func(name string, at netip.AddrPort) (time.Duration, error)
	send    func(to watch, msg []byte) error

	doubts  chan string
	helping chan struct{}

	mu      sync.Mutex
	waiting map[uint64]func()
}

func newLookout(cfg Config, g *guard, deps Deps) *lookout {
	return &lookout{
		name: cfg.Name, guard: g, network: deps.Network, log: deps.Logger,
		doubts: make(chan string, maxDoubts), helping: make(chan struct{}, maxHelping), waiting: map[uint64]func(){},
	}
}

// Doubts has names of members that somebody had no answer from, if this member is
// one of those who hear of it (Deps.Watches). Each comes again while it lasts.
func (p *Pool) Doubts() <-chan string { return p.lookout.doubts }

// Silent looks at a member for a second and tells whether it gave no sign of life:
// it does not answer, neither this member nor those that ask for it, and nobody
// takes connections at its address.
func (p *Pool) Silent(ctx context.Context, name string) bool {
	if p.usable() != nil || name == p.cfg.Name {
		return false
	}
	return p.lookout.silent(ctx, name)
}

// Ping asks a member directly, again and again until it answers or ctx ends, and
// returns the round-trip time. It also asks members that are reported failed.
func (p *Pool) Ping(ctx context.Context, name string) (time.Duration, error) {
	if err := p.usable(); err != nil {
		return 0, err
	}
	answered := make(chan time.Duration, 1)
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	for {
		m, ok := p.Member(name)
		if !ok {
			return 0, fault.Newf(fault.NotFound, "agent: No node found with name '%s'", name)
		}
		p.lookout.ask(name, m.AddrPort(), answered)
		select {
		case rtt := <-answered:
			return rtt, nil
		case <-ctx.Done():
			return 0, fault.Newf(fault.Unavailable, "%s does not answer at %s: %w", name, m.AddrPort(), context.Cause(ctx))
		case <-p.ctx.Done():
			return 0, errClosed
		case <-tick.C:
		}
	}
}

// ask sends one ping and does not wait for its answer.
func (l *lookout) ask(name string, at netip.AddrPort, answered chan<- time.Duration) {
	l.run(func() {
		if rtt, err := l.ping(name, at); err == nil {
			select {
			case answered <- rtt:
			default: // an earlier one is enough
			}
		}
	})
}

func (l *lookout) silent(ctx context.Context, name string) bool {
	at, known := l.guard.where(name)
	if !known {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan time.Duration, 1)
	seq, forget := l.await(answered)
	defer forget()
	tick := time.NewTicker(lookPause)
	defer tick.Stop()
	for good, all := 0, 0; good < looks; all++ {
		if all > lateLooks {
			return false
		}
		began := time.Now()
		l.ask(name, at, answered)
		if all%2 == 1 {
			l.askOthers(name, seq)
		}
		if all == patientLooks {
			l.run(func() { l.connect(ctx, at, answered) })
		}
		select {
		case <-answered:
			return false
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if time.Since(began) < 2*lookPause {
			good++
		}
	}
	last := time.NewTimer(lastLook)
	defer last.Stop()
	select {
	case <-answered:
		return false
	case <-ctx.Done():
		return false
	case <-last.C:
		return true
	}
}

// connect tries until somebody takes a connection or ctx ends. A process that does
// not run on can have its connections taken by its kernel: the pool will tell.
func (l *lookout) connect(ctx context.Context, at netip.AddrPort, answered chan<- time.Duration) {
	for ctx.Err() == nil {
		c, err := l.network.Dial(ctx, at.String())
		if err == nil {
			_ = c.Close() // that it was taken was all
			select {
			case answered <- 0:
			default:
			}
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookPause):
		}
	}
}

// await makes a number under which others may report an answer.
func (l *lookout) await(answered chan<- time.Duration) (seq uint64, forget func()) {
	seq = rand.Uint64() // one that a stranger does not guess
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[seq] = func() {
		select {
		case answered <- 0:
		default:
		}
	}
	return seq, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, seq)
	}
}

type lookoutMessage struct {
	Node string
	From string
	Seq  uint64
}

func (l *lookout) tell(to watch, kind byte, m lookoutMessage) {
	msg, err := encode(kind, m)
	if err == nil {
		err = l.send(to, msg)
	}
	if err != nil {
		l.log.Debug("serf: a word about a member could not be sent", zap.String("to", to.name), zap.Error(err))
	}
}

func (l *lookout) askOthers(name string, seq uint64) {
	for _, to := range l.guard.some(helpers, name) {
		l.tell(to, msgAsk, lookoutMessage{Node: name, From: l.name, Seq: seq})
	}
}

// unanswered is told by the transport that a member has not answered a ping.
func (l *lookout) unanswered(name string) {
	if l.watches {
		l.doubt(name)
	}
	for _, to := range l.guard.watchers() {
		if to.name != name {
			l.tell(to, msgDoubt, lookoutMessage{Node: name})
		}
	}
}

func (l *lookout) doubt(name string) {
	select {
	case l.doubts <- name:
	default:
	}
}

// hear takes a message of another member. It must not wait.
func (l *lookout) hear(buf []byte) {
	var m lookoutMessage
	if len(buf) > maxLookoutMessage || !decode(buf[1:], &m) {
		return
	}
	switch buf[0] {
	case msgDoubt:
		if _, known := l.guard.where(m.Node); known && l.watches {
			l.doubt(m.Node)
		}
	case msgAsk:
		at, known := l.guard.where(m.Node)
		back, member := l.guard.where(m.From) // not wherever a stranger wishes
		if known && member {
			l.help(m, at, watch{m.From, back})
		}
	case msgAnswer:
		l.mu.Lock()
		report := l.waiting[m.Seq]
		l.mu.Unlock()
		if report != nil {
			report()
		}
	}
}

// help asks a member for another one.
func (l *lookout) help(m lookoutMessage, at netip.AddrPort, back watch) {
	select {
	case l.helping <- struct{}{}:
	default:
		return
	}
	if !l.run(func() {
		defer func() { <-l.helping }()
		if _, err := l.ping(m.Node, at); err == nil {
			l.tell(back, msgAnswer, lookoutMessage{Seq: m.Seq})
		}
	}) {
		<-l.helping
	}
}
