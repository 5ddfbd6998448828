package state

import (
	"fmt"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/kv"
)

// Operations carries out the operations of a client's transaction. If one fails
// the error is kv.Failed, which lists all that did, and the caller aborts.
type Operations struct{ *Txn }

// Apply carries out all of them in order.
func (t Operations) Apply(ops []kv.Op) ([]kv.Result, error) {
	failed := kv.Judge(ops)
	if len(failed) > 0 {
		return nil, fault.With(fault.Conflict, failed)
	}
	var results []kv.Result
	for i := range ops {
		got, err := t.apply(&ops[i])
		if err != nil {
			failed = append(failed, kv.OpError{OpIndex: i, What: err.Error()})
			continue
		}
		results = append(results, got...)
	}
	if len(failed) > 0 {
		return nil, fault.With(fault.Conflict, failed)
	}
	return results, nil
}

// Read carries out operations that change nothing.
func (r Keys) Read(ops []kv.Op) ([]kv.Result, error) {
	tx := r.s.read(nil)
	return Operations{&Txn{s: r.s, indexing: indexing{records: records{tx: tx, base: tx}}}}.Apply(ops)
}

func (t Operations) apply(op *kv.Op) ([]kv.Result, error) {
	switch {
	case op.KV != nil:
		return t.key(op.KV)
	case op.Node != nil:
		n, err := t.node(op.Node)
		return one(kv.Result{Node: n}, n != nil), err
	case op.Service != nil:
		s, err := t.service(op.Service)
		return one(kv.Result{Service: s}, s != nil), err
	case op.Check != nil:
		c, err := t.check(op.Check)
		return one(kv.Result{Check: c}, c != nil), err
	default:
		return nil, nil
	}
}

func one(r kv.Result, there bool) []kv.Result {
	if !there {
		return nil
	}
	return []kv.Result{r}
}

func (t Operations) key(op *kv.KeyOp) ([]kv.Result, error) {
	if op.Verb.Changes() {
		e, err := t.change(op)
		if e == nil || err != nil {
			return nil, err
		}
		return []kv.Result{{KV: e.Bare()}}, nil
	}
	w := KeyWriter(t)
	if op.Verb == kv.GetTree {
		var out []kv.Result
		for _, e := range w.tree(op.Key) {
			out = append(out, kv.Result{KV: e})
		}
		return out, nil
	}
	e, ok := w.entry(op.Key)
	switch {
	case op.Verb == kv.CheckNotExists && ok:
		return nil, fmt.Errorf("key %q exists", op.Key)
	case op.Verb == kv.CheckNotExists:
		return nil, nil
	case op.Verb == kv.GetOrEmpty && !ok:
		return []kv.Result{{KV: &kv.Entry{Key: op.Key}}}, nil
	case !ok:
		return nil, fmt.Errorf("key %q doesn't exist", op.Key)
	case op.Verb == kv.CheckIndex && e.ModifyIndex != op.Index:
		return nil, fmt.Errorf("failed index check for key %q, current modify index %d != %d", op.Key, e.ModifyIndex, op.Index)
	case op.Verb == kv.CheckSession && e.Session != op.Session:
		return nil, fmt.Errorf("failed session check for key %q, current session %q != %q", op.Key, e.Session, op.Session)
	case op.Verb == kv.CheckIndex, op.Verb == kv.CheckSession:
		e = e.Bare()
	}
	return []kv.Result{{KV: e}}, nil
}

// change carries out a verb that changes keys. The entry is nil where none is left.
func (t Operations) change(op *kv.KeyOp) (e *kv.Entry, err error) {
	w, ok := KeyWriter(t), true
	why := "index is stale"
	switch op.Verb {
	case kv.Set:
		return w.Set(op), nil
	case kv.CAS:
		e, ok = w.CAS(op)
	case kv.Lock:
		why = "lock is already held"
		if w.Delayed(op.Key) {
			why = "lock delay is in force"
		}
		e, ok, err = w.Lock(op)
	case kv.Unlock:
		why = "lock isn't held, or is held by another session"
		e, ok, err = w.Unlock(op)
	case kv.Delete:
		w.Delete(op.Key)
	case kv.DeleteTree:
		w.DeleteTree(op.Key)
	case kv.DeleteCAS:
		ok = w.DeleteCAS(op.Key, op.Index)
	}
	if err == nil && !ok {
		err = fmt.Errorf("failed to %s key %q, %s", word(op.Verb), op.Key, why)
	}
	return e, err
}

// word is what an error says of a verb.
func word(v kv.Verb) string {
	switch v {
	case kv.Lock, kv.Unlock:
		return string(v)
	case kv.DeleteCAS:
		return "delete"
	}
	return "set"
}

// stale reports whether a verb must not happen to what has an index, 0 = is not there.
func stale(v kv.Verb, have, want uint64) bool {
	return have != want && (v == kv.CAS || v == kv.DeleteCAS && have != 0)
}

func (t Operations) node(op *kv.NodeOp) (*catalog.Node, error) {
	name := op.Node.Name
	old, ok := get[*catalog.Node](t, tableNodes, nodeKey(name))
	if name == "" && op.Node.ID != "" {
		if old, ok = first[*catalog.Node](t.reader(tableNodes), tableNodes, byUUID, uuidKey(op.Node.ID)); ok {
			name = old.Name
		}
	}
	var have uint64
	if ok {
		have = old.ModifyIndex
	}
	switch {
	case op.Verb == kv.Get && !ok:
		return nil, fmt.Errorf("node %q doesn't exist", name)
	case op.Verb == kv.Get:
		return old, nil
	case stale(op.Verb, have, op.Node.ModifyIndex):
		return nil, fmt.Errorf("failed to %s node %q, index is stale", word(op.Verb), name)
	case op.Verb == kv.Delete, op.Verb == kv.DeleteCAS:
		t.DeleteNode(name)
		return nil, nil
	}
	reg := Registration{Node: &op.Node}
	if err := reg.Validate(); err != nil {
		return nil, err
	}
	return t.ensureNode(&op.Node, false)
}

func (t Operations) service(op *kv.ServiceOp) (*catalog.Service, error) {
	in := op.Service
	if in.ID == "" {
		in.ID = in.Name
	}
	row, ok := get[*serviceRow](t, tableServices, serviceKey(op.Node, in.ID))
	var have uint64
	if ok {
		have = row.Service.ModifyIndex
	}
	switch {
	case op.Verb == kv.Get && !ok:
		return nil, fmt.Errorf("service %q on node %q doesn't exist", in.ID, op.Node)
	case op.Verb == kv.Get:
		return row.Service, nil
	case stale(op.Verb, have, in.ModifyIndex):
		return nil, fmt.Errorf("failed to %s service %q on node %q, index is stale", word(op.Verb), in.ID, op.Node)
	case op.Verb == kv.Delete, op.Verb == kv.DeleteCAS:
		t.DeleteService(op.Node, in.ID)
		return nil, nil
	}
	node, there := get[*catalog.Node](t, tableNodes, nodeKey(op.Node))
	if !there {
		return nil, fmt.Errorf("missing node registration")
	}
	reg := Registration{Node: &catalog.Node{Name: node.Name}, SkipNodeUpdate: true, Service: &in}
	if err := reg.Validate(); err != nil {
		return nil, err
	}
	t.ensureService(node, &in)
	row, _ = get[*serviceRow](t, tableServices, serviceKey(op.Node, in.ID))
	return row.Service, nil
}

func (t Operations) check(op *kv.CheckOp) (*catalog.Check, error) {
	in := op.Check
	if in.CheckID == "" {
		in.CheckID = in.Name
	}
	old, ok := get[*catalog.Check](t, tableChecks, checkKey(in.Node, in.CheckID))
	var have uint64
	if ok {
		have = old.ModifyIndex
	}
	switch {
	case op.Verb == kv.Get && !ok:
		return nil, fmt.Errorf("check %q on node %q doesn't exist", in.CheckID, in.Node)
	case op.Verb == kv.Get:
		return old, nil
	case stale(op.Verb, have, in.ModifyIndex):
		return nil, fmt.Errorf("failed to %s check %q on node %q, index is stale", word(op.Verb), in.CheckID, in.Node)
	case op.Verb == kv.Delete, op.Verb == kv.DeleteCAS:
		t.DeleteCheck(in.Node, in.CheckID)
		return nil, nil
	}
	node, there := get[*catalog.Node](t, tableNodes, nodeKey(in.Node))
	if !there {
		return nil, fmt.Errorf("missing node registration")
	}
	reg := Registration{Node: &catalog.Node{Name: node.Name}, SkipNodeUpdate: true, Checks: []*catalog.Check{&in}}
	if err := reg.Validate(); err != nil {
		return nil, err
	}
	if err := t.ensureCheck(node, &in); err != nil {
		return nil, err
	}
	c, _ := get[*catalog.Check](t, tableChecks, checkKey(in.Node, in.CheckID))
	return c, nil
}
