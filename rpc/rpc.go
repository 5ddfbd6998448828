package rpc

import (
	"context"
	"time"
)

// Method names one operation and ties its request to its reply.
type Method[Req, Resp any] struct {
	Name string // "Noun.Verb", unique
	// Idempotent operations may be sent again after an unknown outcome: reads, and
	// changes that nobody else's can come between.
	Idempotent bool
}

// Caller carries one operation to whoever can perform it. in is a *Req and out
// a *Resp of the method named.
type Caller interface {
	Call(ctx context.Context, method string, in, out any) error
}

// Call performs a method through a caller.
func Call[Req, Resp any](ctx context.Context, c Caller, m Method[Req, Resp], in *Req) (*Resp, error) {
	out := new(Resp)
	if err := c.Call(ctx, m.Name, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Consistency says how fresh a read must be.
type Consistency uint8

const (
	// Default reads are answered by the leader.
	Default Consistency = iota
	// Consistent reads are answered by the leader after a quorum confirmed it.
	Consistent
	// Stale reads are answered by any server, with or without a leader.
	Stale
)

// String gives the words of the header X-Consul-Effective-Consistency.
func (c Consistency) String() string {
	switch c {
	case Consistent:
		return "consistent"
	case Stale:
		return "stale"
	default:
		return "leader"
	}
}

// Target is what every request carries: the datacenter it is for ("" = the
// receiver's own) and the secret of the token it is made with.
type Target struct {
	Datacenter string
	Token      string
}

// ReadOptions are what every read carries.
type ReadOptions struct {
	Target
	Consistency Consistency
	// MaxStale bounds how long ago the server of a stale read may have heard from
	// the leader; past it the leader answers. 0 = no bound.
	MaxStale time.Duration
	// Cached asks for the answer that this agent has in memory, whoever leads.
	Cached bool
	// MinIndex > 0 makes the read block until the index of its result is
	// greater, or MaxWait has passed.
	MinIndex uint64
	// MaxWait bounds a blocking read; 0 = DefaultWait, at most MaxWait.
	MaxWait time.Duration
	// Filter is a boolean expression over the items of the result.
	Filter string
	// Near sorts by round-trip time from the named node ("_agent" is resolved by the edge).
	Near string
	// NodeMeta keeps only items of nodes that carry all these pairs.
	NodeMeta map[string]string
}

// Bounds of blocking reads, as documented for the HTTP API.
const (
	DefaultWait = 5 * time.Minute
	MaxWait     = 10 * time.Minute
)

// ReadMeta is what every read's reply carries.
type ReadMeta struct {
	// Index is the state's index for what was asked; at least 1.
	Index uint64
	// LastContact is how long ago the answering server heard from the leader; 0 on the leader.
	LastContact time.Duration
	// KnownLeader says whether the answering server knows a leader.
	KnownLeader bool
	// Consistency that was in effect.
	Consistency Consistency
	// NotModified is set when a blocking read ran into its time limit.
	NotModified bool
	// Filtered says that some of the result was left out, since the token may not see it.
	Filtered bool
	// Age is how old an answer out of an agent's memory may be; 0 is up to date.
	Age time.Duration
}

// Empty stands for a request or reply without content.
type Empty struct{}
