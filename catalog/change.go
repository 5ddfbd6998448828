package catalog

// Op says what a Change does.
type Op uint8

// The operations of a Change.
const (
	// NodeSet: the node is new or differs from before.
	NodeSet Op = iota + 1
	// NodeGone: the node no longer exists (only Node.Name counts).
	NodeGone
	// InstanceSet: the instance is new, or its node, service or checks differ from before.
	InstanceSet
	// InstanceGone: the instance no longer exists (only Node.Name, Service.ID and Service.Name count).
	InstanceGone
	// ResolverSet: the service has a resolver, or another one than before.
	ResolverSet
	// ResolverGone: the service has no resolver any more (only Resolver.Service counts).
	ResolverGone
)

// Change is one step of the catalog's life as readers of views see it. It holds
// the whole new value, never a difference, so that applying it twice is harmless.
type Change struct {
	Op       Op
	Node     *Node     // NodeSet, NodeGone
	Instance *Instance // InstanceSet, InstanceGone
	Resolver *Resolver `cbor:",omitempty"` // ResolverSet, ResolverGone
}

// Batch is what one committed transaction changed. Batches reach a reader in
// the order of their Index.
type Batch struct {
	Index   uint64
	Reset   bool // everything known before is void; Changes hold the whole state
	Changes []Change
}
