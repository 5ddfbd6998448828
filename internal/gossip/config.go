package gossip

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"time"

	"consul.internal/internal/door"
	"consul.internal/internal/fault"
	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"
)

// Network is how a pool reaches others.
type Network interface {
	Listen(ctx context.Context, addr string) (net.Listener, error)
	ListenPacket(ctx context.Context, addr string) (net.PacketConn, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// Timers are the pace of the protocol. DefaultLAN and DefaultWAN are measured.
type Timers struct {
	ProbeInterval       time.Duration // each member probes one other in this time
	ProbeTimeout        time.Duration // then others and a stream are asked to help
	IndirectChecks      int           // how many others
	SuspicionMult       int           // probe intervals, times log10 of the members, before a suspect is dead
	SuspicionMaxMult    int           // how much longer while nobody else suspects it
	AwarenessMax        int           // how much slower a member probes that doubts itself
	GossipInterval      time.Duration // news are sent this often
	GossipNodes         int           // to so many members
	RetransmitMult      int           // so often, times log10 of the members
	GossipToTheDead     time.Duration // the dead hear of it so long, to object
	PushPullInterval    time.Duration // whole states are compared this often
	StreamTimeout       time.Duration // for one exchange over a stream
	DialTimeout         time.Duration // for its connection
	ReconnectInterval   time.Duration // a failed member is asked again this often
	LeavePropagateDelay time.Duration // a leaving member stays this long to be heard
	BroadcastTimeout    time.Duration // for a leave or new tags to be sent off
}

// Encryption of all messages. Without keys there is none.
type Encryption struct {
	Keys           []string // base64 of 16, 24 or 32 bytes; the first encrypts, all decrypt
	KeyringFile    string   // where the keys are kept; what it holds goes before Keys; "" = in memory only
	InMemory       bool     // do not use KeyringFile; but if it exists there must be Keys
	VerifyIncoming bool     // refuse what is not encrypted
	VerifyOutgoing bool     // encrypt all that is sent
}

// Config of one pool.
type Config struct {
	Name             string         // unique in the pool
	NodeID           string         // whose name it is; never changes
	Bind             netip.AddrPort // port 0 = any
	Advertise        netip.AddrPort // what others are told; invalid address or port 0 = as bound
	Label            string         // pools with other labels do not understand this one
	Tags             map[string]string
	Timers           Timers
	Encryption       Encryption
	SnapshotPath     string // known members, kept for a restart; "" = not kept
	RejoinAfterLeave bool   // use the known members also after a leave
	// ReconnectTimeout is how long a failed member is remembered that does not say itself
	// how long (TagReconnect).
	ReconnectTimeout time.Duration
	TombstoneTimeout time.Duration
	AllowedCIDRs     []netip.Prefix // who may be a member; none = all
	Streams          door.Limits    // connections of others
	MaxMembers       int            // more are not taken in
}

const (
	// minReconnect: shorter, and a night's outage would make nodes forgotten.
	minReconnect = 8 * time.Hour
	// reconnectTimeout is what users know.
	reconnectTimeout = 72 * time.Hour
	// tombstoneTimeout: who left is remembered a day so that late news of him are
	// known to be old.
	tombstoneTimeout = 24 * time.Hour
	// maxMembers is four times the largest pool that anybody runs.
	maxMembers = 20_000
	// maxName is serf's limit.
	maxName = 128
)

// DefaultLAN is the configuration of a pool inside a datacenter.
//
// Chosen by a sweep in fake time, which TestTimers repeats in short; 5 members, 40
// kills each, then 100 or more virtual minutes at 30 % loss. A kill was known
// everywhere after a median of 2.4 s, worst 3.7 s; under that loss there were 4
// false reports of a death in 100 minutes (one death that four members saw), which
// ended by themselves. RetransmitMult decides: 6 gave 77 false reports in 120
// minutes, 10 gave 30, 14 gave 8; ProbeInterval 400 ms with SuspicionMult 4 is no
// better (12 in 100 minutes), 500 ms with 4 is (4), but takes 2.9 s. So a report is
// not proof: whoever acts on it asks the member first (Pool.Ping). And who is to act
// soon does not wait for it, but looks when anybody doubts (Pool.Doubts, Pool.Silent).
func DefaultLAN() Config {
	return Config{
		Timers: Timers{
			ProbeInterval: 500 * time.Millisecond, ProbeTimeout: 250 * time.Millisecond, IndirectChecks: 3,
			SuspicionMult: 3, SuspicionMaxMult: 4, AwarenessMax: 8,
			GossipInterval: 100 * time.Millisecond, GossipNodes: 4, RetransmitMult: 14,
			GossipToTheDead: 30 * time.Second, PushPullInterval: 10 * time.Second,
			StreamTimeout: 10 * time.Second, DialTimeout: 2 * time.Second, ReconnectInterval: 5 * time.Second,
			LeavePropagateDelay: time.Second, BroadcastTimeout: 5 * time.Second,
		},
		Encryption:       Encryption{VerifyIncoming: true, VerifyOutgoing: true},
		ReconnectTimeout: reconnectTimeout, TombstoneTimeout: tombstoneTimeout,
		// A member has one or two streams open at a time; behind one address may be a few of them.
		Streams: door.Limits{Total: 256, PerAddress: 32}, MaxMembers: maxMembers,
	}
}

// DefaultWAN is the configuration of a pool across datacenters: slower, for
// round trips of some hundred milliseconds.
func DefaultWAN() Config {
	c := DefaultLAN()
	t := &c.Timers
	t.ProbeInterval, t.ProbeTimeout = 2*time.Second, time.Second
	t.SuspicionMult, t.SuspicionMaxMult, t.AwarenessMax = 5, 6, 8
	t.GossipInterval, t.GossipNodes = 250*time.Millisecond, 4
	t.GossipToTheDead, t.PushPullInterval = time.Minute, time.Minute
	t.StreamTimeout, t.DialTimeout, t.ReconnectInterval = 30*time.Second, 5*time.Second, 10*time.Second
	return c
}

var validName = regexp.MustCompile("^[^\\s\\pC/\\\\\"'<>&]+$")

// ValidName tells why a member cannot have this name.
func ValidName(name string) error {
	switch {
	case name == "":
		return fault.Newf(fault.Invalid, "a member needs a name")
	case len(name) > maxName:
		return fault.Newf(fault.Invalid, "the name %.20q... has %d characters, at most %d", name, len(name), maxName)
	case !validName.MatchString(name):
		return fault.Newf(fault.Invalid, "the name %q has a blank, a quote, a slash or another character that names cannot have; letters, digits and '-' are best", name)
	}
	return nil
}

// Validate tells everything that is wrong.
func (c Config) Validate() error {
	errs := []error{ValidName(c.Name)}
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fault.Newf(fault.Invalid, format, args...))
		}
	}
	wrong(c.NodeID == "", "a member needs a node ID")
	wrong(!c.Bind.Addr().IsValid(), "no address to bind to")
	wrong(c.Bind.Addr().IsValid() && c.Bind.Addr().IsUnspecified() && !c.Advertise.Addr().IsValid(),
		"bound to all addresses: name the one that others shall use (advertise_addr)")
	wrong(c.Advertise.Addr().IsValid() && c.Advertise.Addr().IsUnspecified(), "%s cannot be advertised", c.Advertise.Addr())
	wrong(len(c.Label) > memberlist.LabelMaxSize, "the label %.20q... is too long", c.Label)
	wrong(c.ReconnectTimeout < minReconnect, "reconnect timeout %v is less than %v", c.ReconnectTimeout, minReconnect)
	wrong(c.TombstoneTimeout <= 0, "the tombstone timeout must be positive")
	wrong(c.MaxMembers <= 0, "the number of members must be bounded")
	t := c.Timers
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"probe interval", t.ProbeInterval}, {"probe timeout", t.ProbeTimeout}, {"gossip interval", t.GossipInterval},
		{"push/pull interval", t.PushPullInterval}, {"stream timeout", t.StreamTimeout}, {"dial timeout", t.DialTimeout},
		{"reconnect interval", t.ReconnectInterval}, {"broadcast timeout", t.BroadcastTimeout},
	} {
		wrong(d.d <= 0, "the %s must be positive", d.name)
	}
	wrong(t.ProbeTimeout > t.ProbeInterval, "probe timeout %v is longer than the probe interval %v", t.ProbeTimeout, t.ProbeInterval)
	wrong(t.SuspicionMult < 1 || t.SuspicionMaxMult < 1, "the suspicion multipliers must be at least 1")
	wrong(t.GossipNodes < 1 || t.RetransmitMult < 1 || t.AwarenessMax < 1, "gossip nodes, retransmit and awareness multipliers must be at least 1")
	_, err := parseKeys(c.Encryption.Keys)
	return errors.Join(append(errs, err)...)
}

// Deps are what a pool needs from outside.
type Deps struct {
	Logger *zap.Logger
	// Check tells why someone cannot be a member of this pool, by name and tags. It
	// is called under the library's lock: it must only look. nil = anybody may.
	Check func(Member) error
	// Network is the kernel's if nil.
	Network Network
	// Watches tells by a member's tags who hears of members that have not answered
	// somebody (Pool.Doubts). nil = nobody.
	Watches func(tags map[string]string) bool
}
