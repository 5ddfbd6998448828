package rpc

import "consul.internal/catalog"

// Operations on health.
var (
	HealthService = Method[ServiceRequest, InstancesReply]{Name: "Health.Service", Idempotent: true}
	HealthNode    = Method[NodeRequest, ChecksReply]{Name: "Health.Node", Idempotent: true}
	HealthChecks  = Method[ChecksRequest, ChecksReply]{Name: "Health.Checks", Idempotent: true}
	HealthState   = Method[StateRequest, ChecksReply]{Name: "Health.State", Idempotent: true}
)

// ChecksRequest asks for the checks of a service.
type ChecksRequest struct {
	ReadOptions
	Service string
}

// StateRequest asks for all checks in a state (catalog.Any = all checks).
type StateRequest struct {
	ReadOptions
	State catalog.Status
}

// ChecksReply lists checks by node and check ID.
type ChecksReply struct {
	ReadMeta
	Checks []*catalog.Check
}
