package gossip

import (
	"context"
	"sync"

	"github.com/hashicorp/serf/serf"
)

// Kind of an Event.
type Kind uint8

// The kinds of events.
const (
	Joined  Kind = iota + 1 // a member is there
	Failed                  // it does not answer any more; ask it before acting on that
	Left                    // it said that it leaves, or was made to
	Updated                 // its tags or address changed
	Reaped                  // it is forgotten
	User                    // somebody sent an event
	Resync                  // too much happened: read Members anew
)

func (k Kind) String() string {
	names := []string{"", "joined", "failed", "left", "updated", "reaped", "user", "resync"}
	if int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// UserEvent is a message to all members.
type UserEvent struct {
	LTime    uint64 // Lamport time
	Name     string
	Payload  []byte
	Coalesce bool
}

// Event is news of the pool.
type Event struct {
	Kind   Kind
	Member Member    // of all kinds but User and Resync
	User   UserEvent // of User
}

const (
	// maxPending members with news that nobody has read; then one Resync stands for all.
	maxPending = 4096
	// maxUserEvents that nobody has read; older ones are dropped. Serf's own buffer
	// of events, which are sent again to who joins, is twice that.
	maxUserEvents = 256
	// serfBuffer takes all that serf may still hand over after nobody reads: the
	// 1,024 of one of its own buffers and the 2,048 of another.
	serfBuffer = 4096
)

// queue holds at most one event for each member, the latest.
type queue struct {
	mu      sync.Mutex
	pending map[string]Event
	order   []string
	users   []UserEvent
	resync  bool
	dropped uint64
	max     int
	wake    chan struct{}
	out     chan Event
	serf    chan serf.Event // where serf puts its own
}

func newQueue() *queue {
	return &queue{pending: map[string]Event{}, max: maxPending, wake: make(chan struct{}, 1), out: make(chan Event), serf: make(chan serf.Event, serfBuffer)}
}

// put never waits.
func (q *queue) put(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case e.Kind == User:
		if len(q.users) >= maxUserEvents {
			q.users = append(q.users[:0], q.users[1:]...)
			q.dropped++
		}
		q.users = append(q.users, e.User)
	case q.resync: // Members will tell
	default:
		old, waiting := q.pending[e.Member.Name]
		if !waiting && len(q.order) >= q.max {
			clear(q.pending)
			q.order, q.resync = nil, true
			break
		}
		if waiting && old.Kind == Joined && e.Kind == Updated {
			e.Kind = Joined
		}
		if !waiting {
			q.order = append(q.order, e.Member.Name)
		}
		q.pending[e.Member.Name] = e
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) take() (Event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.resync {
		q.resync = false
		return Event{Kind: Resync}, true
	}
	if len(q.order) > 0 {
		name := q.order[0]
		q.order = q.order[1:]
		e := q.pending[name]
		delete(q.pending, name)
		return e, true
	}
	if len(q.users) > 0 {
		u := q.users[0]
		q.users = q.users[1:]
		return Event{Kind: User, User: u}, true
	}
	return Event{}, false
}

// deliver hands events to whoever reads, until ctx ends.
func (q *queue) deliver(ctx context.Context) {
	for {
		e, ok := q.take()
		if !ok {
			select {
			case <-q.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case q.out <- e:
		case <-ctx.Done():
			return
		}
	}
}

// translate makes events of ours out of one of serf's.
func translate(e serf.Event) []Event {
	switch e := e.(type) {
	case serf.MemberEvent:
		kind, ok := map[serf.EventType]Kind{
			serf.EventMemberJoin: Joined, serf.EventMemberLeave: Left, serf.EventMemberFailed: Failed,
			serf.EventMemberUpdate: Updated, serf.EventMemberReap: Reaped,
		}[e.Type]
		if !ok {
			return nil
		}
		out := make([]Event, len(e.Members))
		for i, m := range e.Members {
			out[i] = Event{Kind: kind, Member: fromSerf(m)}
		}
		return out
	case serf.UserEvent:
		return []Event{{Kind: User, User: UserEvent{LTime: uint64(e.LTime), Name: e.Name, Payload: e.Payload, Coalesce: e.Coalesce}}}
	}
	return nil
}
