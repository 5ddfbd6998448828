package rpc

import "consul.internal/catalog"

// Operations on network coordinates.
var (
	CoordinateUpdate      = Method[CoordinateUpdateRequest, Empty]{Name: "Coordinate.Update", Idempotent: true}
	CoordinateNodes       = Method[CoordinateNodesRequest, CoordinatesReply]{Name: "Coordinate.Nodes", Idempotent: true}
	CoordinateNode        = Method[CoordinateNodeRequest, CoordinatesReply]{Name: "Coordinate.Node", Idempotent: true}
	CoordinateDatacenters = Method[CoordinateDatacentersRequest, CoordinateDatacentersReply]{Name: "Coordinate.Datacenters", Idempotent: true}
)

// CoordinateUpdateRequest tells where a node is. The leader writes it down within
// a few seconds, together with others, or drops it if there are too many: agents
// send again and again.
type CoordinateUpdateRequest struct {
	Target
	catalog.NodeCoordinate
}

// CoordinateNodesRequest asks for the coordinates of all nodes.
type CoordinateNodesRequest struct{ ReadOptions }

// CoordinateNodeRequest asks for the coordinates of one node.
type CoordinateNodeRequest struct {
	ReadOptions
	Node string
}

// CoordinatesReply lists coordinates by node and segment.
type CoordinatesReply struct {
	ReadMeta
	Coordinates []*catalog.NodeCoordinate
}

// CoordinateDatacentersRequest asks for the coordinates of all servers, as the
// server that answers has learned them.
type CoordinateDatacentersRequest struct{ Target }

// CoordinateDatacentersReply lists servers by datacenter.
type CoordinateDatacentersReply struct{ Datacenters []CoordinateDatacenter }

// CoordinateDatacenter holds where the servers of a datacenter are. Only those of
// one area compare.
type CoordinateDatacenter struct {
	Datacenter  string
	AreaID      string
	Coordinates []*catalog.NodeCoordinate
}

// AreaWAN is the area of the pool of all servers.
const AreaWAN = "wan"
