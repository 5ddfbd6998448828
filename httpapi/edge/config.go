package edge

import (
	"time"

	"consul.internal/rpc"
)

// Settings are what handlers go by.
type Settings struct {
	// Datacenter and NodeName of this agent.
	Datacenter string
	NodeName   string
	// TranslateWANAddrs says that addresses of other datacenters are their WAN ones.
	TranslateWANAddrs bool
	// DiscoveryMaxStale lets any server answer reads that ask for no consistency,
	// as long as it heard from the leader within this time; 0 = the leader answers.
	DiscoveryMaxStale time.Duration
	// DefaultQueryTime is how long a blocking query waits that names no time.
	DefaultQueryTime time.Duration
	// MaxQueryTime is the longest that a blocking query may wait.
	MaxQueryTime time.Duration
	// KVMaxValueSize is the longest value of a key, in bytes.
	KVMaxValueSize int64
	// TxnMaxReqLen is the longest body of a transaction, in bytes; never less than KVMaxValueSize.
	TxnMaxReqLen int64
	// ACLs says that access is controlled; the policies are those words of its configuration.
	ACLs                            bool
	ACLDefaultPolicy, ACLDownPolicy string
}

// Base is what every handler stands on.
type Base struct {
	// Caller carries out operations, here or at whatever server can.
	Caller rpc.Caller
	// Settings gives those of the moment.
	Settings func() Settings
	// Guard knows who bears a token; nil = there is no access control.
	Guard Guard
}
