package vet

import (
	"strings"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/store/state"
)

// Vet judges changes by the state that they are made to.
type Vet struct {
	*Sight
	State *state.State
	// KeyListPolicy says that listing keys takes a right of its own.
	KeyListPolicy bool
}

// Known is a node's name as the catalog spells it: rules are written for that, and
// nobody shall get around them by another spelling.
func Known(now *state.State, node string) string {
	if n, there := now.Node(node); there && catalog.EqualFold(n.Name, node) {
		return n.Name
	}
	return node
}

// Register refuses a registration that may not be made. A node that stays as it is
// may be named by everybody who registers a service of it.
func (v Vet) Register(reg *state.Registration) error {
	for _, node := range v.changedNodes(reg.Node, reg.SkipNodeUpdate) {
		if err := v.Need(acl.Node, node, acl.Write); err != nil {
			return err
		}
	}
	if svc := reg.Service; svc != nil {
		if err := v.service(reg.Node.Name, svc); err != nil {
			return err
		}
	}
	for _, c := range reg.Checks {
		if err := v.check(reg.Node.Name, c, reg.Service); err != nil {
			return err
		}
	}
	return nil
}

// changedNodes are the names of the nodes that a registration changes: the one that
// it creates or does not leave as it is, and the other one whose ID it takes.
func (v Vet) changedNodes(n *catalog.Node, skipUpdate bool) []string {
	now := v.State
	old, there := now.Node(n.Name)
	if there && !catalog.EqualFold(old.Name, n.Name) {
		there = false // found by its ID
	}
	switch {
	case !there:
		names := []string{n.Name}
		if other, taken := now.Node(n.ID); n.ID != "" && taken {
			names = append(names, other.Name)
		}
		return names
	case skipUpdate:
		return nil
	case n.ID != "" && !strings.EqualFold(old.ID, n.ID):
		names := []string{old.Name, n.Name}
		if other, taken := now.Node(n.ID); taken {
			names = append(names, other.Name)
		}
		return names
	}
	same := *n
	same.ID = old.ID
	if old.SameContent(&same) {
		return nil
	}
	return []string{old.Name, n.Name}
}

// service refuses to put a service in the catalog: it takes the right to the
// service, and to the one that has its ID now.
func (v Vet) service(node string, svc *catalog.Service) error {
	if err := v.Need(acl.Service, svc.Name, acl.Write); err != nil {
		return err
	}
	id := svc.ID
	if id == "" {
		id = svc.Name
	}
	if old, there := v.State.Inventory(nil).Service(node, id); there {
		return v.Need(acl.Service, old.Name, acl.Write)
	}
	return nil
}

// check refuses to put a check in the catalog: it takes the right to its service
// or, if it has none, to the node. with is a service that comes with the check.
func (v Vet) check(node string, c *catalog.Check, with *catalog.Service) error {
	if c.ServiceID != "" && with != nil && (catalog.EqualFold(with.ID, c.ServiceID) || with.ID == "" && catalog.EqualFold(with.Name, c.ServiceID)) {
		if err := v.Need(acl.Service, with.Name, acl.Write); err != nil {
			return err
		}
	} else if err := v.owner(node, c.ServiceID); err != nil {
		return err
	}
	id := c.CheckID
	if id == "" {
		id = c.Name
	}
	if old, there := v.State.Inventory(nil).Check(node, id); there && !catalog.EqualFold(old.ServiceID, c.ServiceID) {
		return v.owner(node, old.ServiceID)
	}
	return nil
}

// owner asks for the right to a service of a node, or to the node where there is
// no service of that ID.
func (v Vet) owner(node, serviceID string) error {
	if serviceID != "" {
		if svc, there := v.State.Inventory(nil).Service(node, serviceID); there {
			return v.Need(acl.Service, svc.Name, acl.Write)
		}
	}
	return v.Need(acl.Node, Known(v.State, node), acl.Write)
}

// Remove refuses a deregistration that may not be made. Who may write a node may take
// away all that is on it: its agent may have lost the token that put a service there.
func (v Vet) Remove(d *state.Deregistration) error {
	if v.Allowed(acl.Node, Known(v.State, d.Node), acl.Write) {
		return nil
	}
	id := d.ServiceID
	if id == "" && d.CheckID != "" {
		if c, there := v.State.Inventory(nil).Check(d.Node, d.CheckID); there {
			id = c.ServiceID
		}
	}
	return v.owner(d.Node, id)
}

// Key refuses an operation on a key, or on a tree of keys.
func (v Vet) Key(op *kv.KeyOp) error {
	switch op.Verb {
	case kv.DeleteTree:
		if v.Under(acl.Key, op.Key, acl.Write) {
			return nil
		}
		return fault.Newf(fault.Denied, "%s", acl.Refusal(v.Accessor, acl.Key, op.Key, acl.Write))
	case kv.GetTree:
		if !v.KeyListPolicy {
			return nil // what may not be read is left out
		}
		return v.Need(acl.Key, op.Key, acl.List)
	}
	want := acl.Read
	if op.Verb.Changes() {
		want = acl.Write
	}
	return v.Need(acl.Key, op.Key, want)
}

// Ops finds the operations of a transaction that the token does not permit.
func (v Vet) Ops(ops []kv.Op) (failed kv.Failed) {
	// What comes earlier in the transaction is not in the catalog yet.
	fresh := map[[2]string]*catalog.Service{}
	for i := range ops {
		if err := v.op(&ops[i], fresh); err != nil {
			failed = append(failed, kv.OpError{OpIndex: i, What: err.Error()})
		}
	}
	return failed
}

func (v Vet) op(op *kv.Op, fresh map[[2]string]*catalog.Service) error {
	switch {
	case op.KV != nil:
		return v.Key(op.KV)
	case op.Node != nil:
		return v.nodeOp(op.Node)
	case op.Service != nil:
		o := op.Service
		switch {
		case !o.Verb.Changes():
			name := o.Service.Name
			if old, there := v.State.Inventory(nil).Service(o.Node, serviceID(&o.Service)); there {
				name = old.Name
			}
			if err := v.Need(acl.Service, name, acl.Read); err != nil {
				return err
			}
			return v.Need(acl.Node, Known(v.State, o.Node), acl.Read)
		case removes(o.Verb):
			return v.Remove(&state.Deregistration{Node: o.Node, ServiceID: serviceID(&o.Service)})
		}
		fresh[[2]string{catalog.Fold(o.Node), catalog.Fold(serviceID(&o.Service))}] = &o.Service
		return v.service(o.Node, &o.Service)
	case op.Check != nil:
		o := op.Check
		switch {
		case !o.Verb.Changes():
			if old, there := v.State.Inventory(nil).Check(o.Check.Node, checkID(&o.Check)); there && old.ServiceName != "" {
				if err := v.Need(acl.Service, old.ServiceName, acl.Read); err != nil {
					return err
				}
			}
			return v.Need(acl.Node, Known(v.State, o.Check.Node), acl.Read)
		case removes(o.Verb):
			return v.Remove(&state.Deregistration{Node: o.Check.Node, CheckID: checkID(&o.Check)})
		}
		return v.check(o.Check.Node, &o.Check, fresh[[2]string{catalog.Fold(o.Check.Node), catalog.Fold(o.Check.ServiceID)}])
	}
	return nil
}

// nodeOp: a node is named by its name or its ID.
func (v Vet) nodeOp(o *kv.NodeOp) error {
	want := acl.Read
	if o.Verb.Changes() {
		want = acl.Write
	}
	for _, named := range []string{o.Node.ID, o.Node.Name} {
		if named == "" {
			continue
		}
		if old, there := v.State.Node(named); there {
			if err := v.Need(acl.Node, old.Name, want); err != nil {
				return err
			}
		}
	}
	if o.Node.Name == "" && want == acl.Read {
		return nil
	}
	return v.Need(acl.Node, Known(v.State, o.Node.Name), want)
}

func removes(v kv.Verb) bool { return v == kv.Delete || v == kv.DeleteCAS }

func serviceID(s *catalog.Service) string {
	if s.ID == "" {
		return s.Name
	}
	return s.ID
}

func checkID(c *catalog.Check) string {
	if c.CheckID == "" {
		return c.Name
	}
	return c.CheckID
}
