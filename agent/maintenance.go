package agent

import (
	"strings"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// Reasons shown where none was given.
const (
	defaultNodeReason    = "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."
	defaultServiceReason = "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."
)

// maintenancePlan is the check that puts a service (or with "" the node) into maintenance.
func maintenancePlan(serviceID, reason, token string) *checkPlan {
	id, name, text := catalog.NodeMaintenance, "Node Maintenance Mode", defaultNodeReason
	if serviceID != "" {
		id, name, text = catalog.ServiceMaintenancePrefix+serviceID, "Service Maintenance Mode", defaultServiceReason
	}
	if reason != "" {
		text = strings.ToValidUTF8(reason, "\uFFFD")
	}
	return &checkPlan{id: id, token: token, check: &catalog.Check{
		CheckID: id, Name: name, Notes: text, Status: catalog.Critical, ServiceID: serviceID,
		ServiceTags: []string{}, Type: string(catalog.Maintenance),
	}}
}

// EnableServiceMaintenance takes a service out of all answers until it is
// disabled again, also across a restart. If it is on already, its reason stays.
func (l *Local) EnableServiceMaintenance(id, reason string) error {
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	e, ok := l.state.service(id)
	if !ok {
		return errUnknownService(id)
	}
	return l.reg.enable(maintenancePlan(id, reason, e.token))
}

// DisableServiceMaintenance ends a service's maintenance; it need not be on.
func (l *Local) DisableServiceMaintenance(id string) error {
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	if _, ok := l.state.service(id); !ok {
		return errUnknownService(id)
	}
	return l.reg.dropCheck(catalog.ServiceMaintenancePrefix + id)
}

// EnableNodeMaintenance is EnableServiceMaintenance for the whole node.
func (l *Local) EnableNodeMaintenance(reason string) error {
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	return l.reg.enable(maintenancePlan("", reason, ""))
}

// DisableNodeMaintenance ends the node's maintenance; it need not be on.
func (l *Local) DisableNodeMaintenance() error {
	l.reg.mu.Lock()
	defer l.reg.mu.Unlock()
	return l.reg.dropCheck(catalog.NodeMaintenance)
}

func errUnknownService(id string) error {
	return fault.Newf(fault.NotFound, "Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id)
}

func errUnknownCheck(id string) error {
	return fault.Newf(fault.NotFound, "Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id)
}
