package rpc

import (
	"maps"
	"slices"

	"consul.internal/catalog"
)

// Operations on the gossip pools. Each is performed by a server, for the pool of
// its own datacenter and, where it says so, for that of all servers.
var (
	PoolKeyring = Method[KeyringRequest, KeyringReply]{Name: "Pool.Keyring", Idempotent: true}
	// ForgetDatacenter removes a datacenter whose servers are gone, everywhere.
	ForgetDatacenter = Method[ForgetDatacenterRequest, Empty]{Name: "Pool.ForgetDatacenter", Idempotent: true}

	PoolForceLeave = Method[ForceLeaveRequest, Empty]{Name: "Pool.ForceLeave", Idempotent: true}
)

// KeyringOp is what is to be done with a gossip key.
type KeyringOp string

// The operations on gossip keys.
const (
	KeyringList    KeyringOp = "list"
	KeyringInstall KeyringOp = "install"
	KeyringUse     KeyringOp = "use"
	KeyringRemove  KeyringOp = "remove"
)

// KeyringRequest does something with a gossip key on all members of a pool.
type KeyringRequest struct {
	Target
	Op  KeyringOp
	Key string // base64; empty for KeyringList
	// RelayFactor is how many other members each answer goes through as well (0 to 5).
	RelayFactor uint8
	// LocalOnly asks only the pool of the datacenter, not that of all servers (list only).
	LocalOnly bool
}

// KeyringReply holds an answer for each pool that was asked.
type KeyringReply struct{ Pools []KeyringPool }

// KeyringPool is what the members of one pool answered.
type KeyringPool struct {
	WAN         bool
	Datacenter  string
	Keys        map[string]int    // how many members have the key
	PrimaryKeys map[string]int    // how many members send with it
	Messages    map[string]string // by member; what each had to say beside "done"
	NumNodes    int
	Error       string // "" = every member did it
}

// ForceLeaveRequest takes a failed member out of a pool.
type ForceLeaveRequest struct {
	Target
	Node  string
	Prune bool // forget it altogether
	WAN   bool
}

// ForgetDatacenterRequest names a datacenter that is no more. It is performed by a
// server of the own datacenter.
type ForgetDatacenterRequest struct {
	Target
	Name string
}

// OperatorUsage counts what the catalog holds.
var OperatorUsage = Method[UsageRequest, UsageReply]{Name: "Operator.Usage", Idempotent: true}

// UsageRequest asks how much the catalog holds.
type UsageRequest struct {
	ReadOptions
	// Global asks every datacenter.
	Global bool
}

// UsageReply holds the figures by datacenter.
type UsageReply struct {
	ReadMeta
	Usage map[string]Usage
}

// Usage is how much one datacenter's catalog holds.
type Usage struct {
	Nodes                    int
	Services                 int
	ServiceInstances         int
	ConnectServiceInstances  map[string]int
	BillableServiceInstances int
}

// kinds of services that the mesh counts, besides services that speak it themselves.
func meshKinds() []string {
	return []string{"api-gateway", "connect-proxy", "ingress-gateway", "mesh-gateway", "terminating-gateway"}
}

// connectNative is the name under which services that speak the mesh themselves are counted.
const connectNative = "connect-native"

// CountUsage counts. Billable, in the reference's words, is what is neither a server's
// own service nor part of the mesh.
func CountUsage(nodes int, instances []*catalog.Instance) Usage {
	u := Usage{Nodes: nodes, ServiceInstances: len(instances), ConnectServiceInstances: map[string]int{connectNative: 0}}
	for _, kind := range meshKinds() {
		u.ConnectServiceInstances[kind] = 0
	}
	names := map[string]struct{}{}
	for _, i := range instances {
		names[i.Service.Name] = struct{}{}
		if i.Service.Connect.Native {
			u.ConnectServiceInstances[connectNative]++
		}
		switch {
		case slices.Contains(meshKinds(), i.Service.Kind):
			u.ConnectServiceInstances[i.Service.Kind]++
		case i.Service.Name != catalog.ServiceConsul:
			u.BillableServiceInstances++
		}
	}
	u.Services = len(slices.Collect(maps.Keys(names)))
	return u
}
