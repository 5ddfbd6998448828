package gossip

import (
	"sync"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

// The first byte of serf's messages that matter here.
const (
	msgLeave     = 0
	msgJoin      = 1
	msgPushPull  = 2
	msgUserEvent = 3
	msgQuery     = 4
	msgKeyAsk    = 7
	msgKeyAnswer = 8
)

const (
	// maxIntent: a name of 128 characters and a number.
	maxIntent = 512
	// maxLeap: Lamport clocks advance by one at each change, so news further ahead
	// are damage. Taken over, they would soon overflow and silence the pool.
	maxLeap = 1 << 32
	// intentWindow in which only so many intents of unknown members are kept, as
	// many as the pool may have members. Serf keeps them for minutes.
	intentWindow = time.Minute
)

// bouncer stands before serf's delegate, takes our own messages and keeps out what
// would make serf grow or spoil its clocks.
type bouncer struct {
	memberlist.Delegate
	guard   *guard
	lookout *lookout

	mu      sync.Mutex
	clock   [3]uint64 // highest seen of members, events, queries
	since   time.Time
	unknown int
}

// NotifyMsg implements memberlist.Delegate.
func (b *bouncer) NotifyMsg(buf []byte) {
	switch {
	case len(buf) == 0:
	case buf[0] >= msgDoubt && buf[0] <= msgAnswer:
		b.lookout.hear(buf)
	case b.good(buf):
		b.Delegate.NotifyMsg(buf)
	}
}

func (b *bouncer) good(buf []byte) bool {
	if len(buf) == 0 {
		return false
	}
	var head struct {
		LTime uint64
		Node  string
	}
	clock := 0
	switch buf[0] {
	case msgLeave, msgJoin:
		if len(buf) > maxIntent || !decode(buf[1:], &head) || ValidName(head.Node) != nil {
			return false
		}
	case msgUserEvent:
		clock = 1
	case msgQuery:
		clock = 2
	case msgPushPull:
		return false // never comes this way
	default:
		return true
	}
	if clock > 0 && !decode(buf[1:], &head) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tick(clock, head.LTime) && (clock > 0 || b.room(head.Node))
}

// tick must be called with mu held.
func (b *bouncer) tick(clock int, t uint64) bool {
	if t > b.clock[clock] && t-b.clock[clock] > maxLeap {
		return false
	}
	b.clock[clock] = max(b.clock[clock], t)
	return true
}

// room must be called with mu held.
func (b *bouncer) room(name string) bool {
	if b.guard.known(name) {
		return true
	}
	if now := time.Now(); now.Sub(b.since) >= intentWindow {
		b.since, b.unknown = now, 0
	}
	b.unknown++
	return b.unknown <= b.guard.max
}

// MergeRemoteState implements memberlist.Delegate.
func (b *bouncer) MergeRemoteState(buf []byte, join bool) {
	if len(buf) == 0 || buf[0] != msgPushPull {
		return
	}
	var state struct {
		LTime, EventLTime, QueryLTime uint64
		StatusLTimes                  map[string]uint64
		LeftMembers                   []string
	}
	if !decode(buf[1:], &state) || len(state.StatusLTimes) > 2*b.guard.max || len(state.LeftMembers) > 2*b.guard.max {
		return
	}
	for name := range state.StatusLTimes {
		if ValidName(name) != nil {
			return
		}
	}
	b.mu.Lock()
	ok := b.tick(0, state.LTime) && b.tick(1, state.EventLTime) && b.tick(2, state.QueryLTime)
	for _, t := range state.StatusLTimes {
		ok = ok && b.tick(0, t)
	}
	b.mu.Unlock()
	if ok {
		b.Delegate.MergeRemoteState(buf, join)
	}
}

// decode reads one value as serf writes it.
func decode(buf []byte, into any) bool {
	return codec.NewDecoderBytes(buf, &codec.MsgpackHandle{}).Decode(into) == nil
}

// encode writes one value as serf reads it.
func encode(kind byte, v any) ([]byte, error) {
	var out []byte
	if err := codec.NewEncoderBytes(&out, &codec.MsgpackHandle{}).Encode(v); err != nil {
		return nil, err
	}
	return append([]byte{kind}, out...), nil
}
