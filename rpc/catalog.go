package rpc

import "consul.internal/catalog"

// Operations on the catalog.
var (
	// Registering twice is not the same as once: another may have written between,
	// and an old write must not come back after a newer one.
	CatalogRegister    = Method[RegisterRequest, Empty]{Name: "Catalog.Register"}
	CatalogDeregister  = Method[DeregisterRequest, Empty]{Name: "Catalog.Deregister"}
	CatalogDatacenters = Method[DatacentersRequest, DatacentersReply]{Name: "Catalog.Datacenters", Idempotent: true}
	CatalogNodes       = Method[NodesRequest, NodesReply]{Name: "Catalog.Nodes", Idempotent: true}
	CatalogServices    = Method[ServicesRequest, ServicesReply]{Name: "Catalog.Services", Idempotent: true}
	CatalogService     = Method[ServiceRequest, InstancesReply]{Name: "Catalog.Service", Idempotent: true}
	CatalogNode        = Method[NodeRequest, NodeReply]{Name: "Catalog.Node", Idempotent: true}
	CatalogInventory   = Method[NodeRequest, InventoryReply]{Name: "Catalog.Inventory", Idempotent: true}
)

// RegisterRequest puts a node, and with it services and checks, into the
// catalog. It is one transaction: all of it happens or nothing.
type RegisterRequest struct {
	Target
	Node *catalog.Node
	// SkipNodeUpdate leaves an existing node as it is.
	SkipNodeUpdate bool
	Service        *catalog.Service // nil = none
	Checks         []*catalog.Check
}

// DeregisterRequest takes a check, a service with its checks, or a whole node
// out of the catalog, by which of the fields are given.
type DeregisterRequest struct {
	Target
	Node      string
	ServiceID string
	CheckID   string
}

// DatacentersRequest asks for the names of all known datacenters, nearest first.
type DatacentersRequest struct{ ReadOptions }

// DatacentersReply lists datacenters.
type DatacentersReply struct{ Datacenters []string }

// NodesRequest asks for all nodes.
type NodesRequest struct{ ReadOptions }

// NodesReply lists nodes by name.
type NodesReply struct {
	ReadMeta
	Nodes []*catalog.Node
}

// ServicesRequest asks for the names of all services.
type ServicesRequest struct{ ReadOptions }

// ServicesReply holds the union of tags by service name.
type ServicesReply struct {
	ReadMeta
	Services map[string][]string
}

// ServiceRequest asks for the instances of one service.
type ServiceRequest struct {
	ReadOptions
	Service string
	Tags    []string // all must be carried
	// Passing keeps only instances whose checks all pass (health reads).
	Passing bool
	// Connect asks for the mesh-capable instances of the service instead.
	Connect bool
	// Ingress asks for the ingress gateways bound to the service instead.
	Ingress bool
	// Central puts what config entries say of proxies into those that are registered.
	Central bool
}

// InstancesReply lists instances, by node name and service ID unless sorted by
// distance. Catalog reads leave Checks empty.
type InstancesReply struct {
	ReadMeta
	Instances []*catalog.Instance
}

// NodeRequest asks for one node and its services.
type NodeRequest struct {
	ReadOptions
	Node string
	// Central is as that of a ServiceRequest.
	Central bool
}

// NodeReply holds a node and its services by ID; Node is nil when there is none.
type NodeReply struct {
	ReadMeta
	Node     *catalog.Node
	Services []*catalog.Service
}

// InventoryReply holds nodes by name, with all that is on them; one, or none, if the
// request names it.
type InventoryReply struct {
	ReadMeta
	Nodes []*catalog.Inventory
}
