package state

import (
	"github.com/hashicorp/go-uuid"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// Registration puts a node, and with it a service and checks, into the catalog.
type Registration struct {
	Node *catalog.Node
	// SkipNodeUpdate leaves a node that exists as it is.
	SkipNodeUpdate bool
	Service        *catalog.Service // nil = none
	Checks         []*catalog.Check
}

// Deregistration takes a service with its checks, else a check, else a whole
// node out of the catalog, by which of the fields are given.
type Deregistration struct {
	Node      string
	ServiceID string
	CheckID   string
}

// Validate checks what can be judged without the state. Register calls it
// again; a caller uses it to refuse a mistake before it goes to the log.
func (r *Registration) Validate() error {
	if r.Node == nil || r.Node.Name == "" {
		return fault.Newf(fault.Invalid, "Must provide node")
	}
	if r.Node.Address == "" && !r.SkipNodeUpdate {
		return fault.Newf(fault.Invalid, "Must provide address if SkipNodeUpdate is not set")
	}
	if r.Node.ID != "" {
		if _, err := uuid.ParseUUID(r.Node.ID); err != nil {
			return fault.Newf(fault.Invalid, "Bad node ID: %w", err)
		}
	}
	if hasNUL(r.Node.Name) {
		return fault.Newf(fault.Invalid, "node name %q holds a NUL byte", r.Node.Name)
	}
	if s := r.Service; s != nil {
		if s.Name == "" {
			return fault.Newf(fault.Invalid, "Must provide service name (Service.Service) when service ID is provided")
		}
		if s.Port < 0 || s.Port > 65535 {
			return fault.Newf(fault.Invalid, "Invalid port %d of service %q: must be 0 to 65535", s.Port, s.Name)
		}
		if hasNUL(s.Name, s.ID, s.Proxy.DestinationServiceName) {
			return fault.Newf(fault.Invalid, "the name or ID of service %q holds a NUL byte", s.Name)
		}
	}
	for _, c := range r.Checks {
		if err := r.validateCheck(c); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registration) validateCheck(c *catalog.Check) error {
	switch {
	case c == nil || c.CheckID == "" && c.Name == "":
		return fault.Newf(fault.Invalid, "Must provide a CheckID or a Name for each check")
	case c.Node != "" && !catalog.EqualFold(c.Node, r.Node.Name):
		return fault.Newf(fault.Invalid, "check %q is for node %q, but the registration is for node %q", c.CheckID, c.Node, r.Node.Name)
	case c.Status != "" && !c.Status.Valid():
		return fault.Newf(fault.Invalid, "check %q has the unknown status %q: use passing, warning or critical", c.CheckID, c.Status)
	case hasNUL(c.CheckID, c.Name, c.ServiceID):
		return fault.Newf(fault.Invalid, "the name or ID of check %q holds a NUL byte", c.CheckID)
	}
	return nil
}

// Validate checks what can be judged without the state.
func (d *Deregistration) Validate() error {
	if d.Node == "" {
		return fault.Newf(fault.Invalid, "Must provide node")
	}
	return nil
}

// EnsureRegistration puts a node, a service and checks in. What is there already
// and the same is left alone and raises no index. On an error the caller aborts.
func (t *Txn) EnsureRegistration(r *Registration) error {
	if err := r.Validate(); err != nil {
		return err
	}
	node, err := t.ensureNode(r.Node, r.SkipNodeUpdate)
	if err != nil {
		return err
	}
	if r.Service != nil {
		t.ensureService(node, r.Service)
	}
	for _, c := range r.Checks {
		if err := t.ensureCheck(node, c); err != nil {
			return err
		}
	}
	return nil
}

// Deregister takes out what d names. What does not exist is no error.
func (t *Txn) Deregister(d *Deregistration) error {
	if err := d.Validate(); err != nil {
		return err
	}
	switch {
	case d.ServiceID != "":
		t.DeleteService(d.Node, d.ServiceID)
	case d.CheckID != "":
		t.DeleteCheck(d.Node, d.CheckID)
	default:
		t.DeleteNode(d.Node)
	}
	return nil
}
