package federation

import (
	"context"
	"net"
	"time"

	"consul.internal/rpc"
	"consul.internal/rpc/remote"
	"go.uber.org/zap"
)

// Server is a server as the pool knows it.
type Server struct {
	ID         string // node ID; it stays when the address changes
	Name       string
	Addr       string // host:port of its calls
	Datacenter string
	RTT        time.Duration // estimated; 0 = not known
	Failed     bool          // as the pool believes; of other datacenters only
}

// Local is the server in this process.
type Local interface {
	remote.Handler
	// LeaderID is the node ID of the leader, "" while none is known.
	LeaderID() string
}

// Config of a Router.
type Config struct {
	Datacenter string
	NodeID     string // this agent; it is never asked over the network
	// HoldTimeout is how long a call waits for a leader before it fails
	// (rpc_hold_timeout).
	HoldTimeout time.Duration
	// CallTimeout is how long a client waits for the answer to a call that does not
	// block, if that is less than HoldTimeout (limits.rpc_client_timeout); 0 = no bound
	// of its own.
	CallTimeout time.Duration
}

// Deps are what a Router is given.
type Deps struct {
	Local Local // nil on a client
	// Dial connects to the calls of a server; nil = no server can be reached.
	Dial func(context.Context, Server) (net.Conn, error)
	// Contract says what may be tried again; nil = rpc.All().
	Contract rpc.Contract
	// ClusterSize is the number of members in the datacenter; nil = unknown.
	ClusterSize func() int
	Logger      *zap.Logger
}

const (
	// firstTry bounds the first try of a call that does not block; each further
	// one may take twice as long. Long against a busy server, short against a
	// user's patience with a frozen one.
	firstTry = time.Second
	// pauseMin is how soon a call without a leader looks again: short against an
	// election (about a second), long against the cost of asking. Each pause is
	// longer than the one before, up to a limit: that of looking at this process,
	// which costs nothing, that of a client asking its servers, and that of a
	// server asking the others on behalf of all its clients.
	pauseMin       = 25 * time.Millisecond
	pauseMaxLocal  = 50 * time.Millisecond
	pauseMaxClient = 100 * time.Millisecond
	pauseMaxRelay  = 400 * time.Millisecond
	// leaderLook is how often a call at the leader looks whether there is another
	// one by now, which will answer sooner than one that is frozen.
	leaderLook = 100 * time.Millisecond
	// forwardShare of the time that a forwarded call has left is given to the
	// leader, so that there is time to say that it did not answer.
	forwardShare = 0.8
	// coolDown is how long a server that did not answer is asked last.
	coolDown = 10 * time.Second
	// rebalanceMin to rebalanceMax is how long a client stays with a server, so
	// that load spreads again after servers came and went.
	rebalanceMin = 2 * time.Minute
	rebalanceMax = 3 * time.Minute
	// movesPerServer bounds how many clients a second move to one server in a large cluster.
	movesPerServer = 64
	// probeTimeout bounds the look at a server before a client moves to it.
	probeTimeout = time.Second
	// awayHold is how long a call looks for a way to another datacenter before it
	// says that there is none: a connection that broke is replaced by then.
	awayHold = 2 * time.Second
	// probeEvery is how often a server looks whether those of other datacenters that
	// did not answer do so again: calls go past them until then. While a line is cut
	// that costs hardly more than the packets that look for it anyway.
	probeEvery = 500 * time.Millisecond
	// relayTries bounds how many servers are asked, in one round, to hand a call on.
	relayTries = 3
	// relayShare of the time that a call has left is given to one server when the
	// call is handed on, so that there is time for a second one.
	relayShare = 0.4
	// near is how much further away a server may be and is still as good as another.
	near = 10 * time.Millisecond
	// blockingSlack is what a blocking call may take beyond what it asked for: the
	// jitter of the server (a sixteenth) and a hold come on top.
	blockingSlack = 10 * time.Second
)
