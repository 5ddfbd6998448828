package kv

import (
	"fmt"

	"consul.internal/catalog"
)

// Op is one operation of a transaction: on the one noun that is given.
type Op struct {
	KV      *KeyOp     `json:",omitempty" cbor:",omitempty"`
	Node    *NodeOp    `json:",omitempty" cbor:",omitempty"`
	Service *ServiceOp `json:",omitempty" cbor:",omitempty"`
	Check   *CheckOp   `json:",omitempty" cbor:",omitempty"`
}

// KeyOp is an operation on a key, or on all keys with a prefix.
type KeyOp struct {
	Verb    Verb
	Key     string
	Value   []byte `cbor:",omitempty"`
	Flags   uint64 `cbor:",omitempty"`
	Index   uint64 `cbor:",omitempty"` // that CAS, DeleteCAS and CheckIndex compare
	Session string `cbor:",omitempty"`
}

// NodeOp is an operation on a node.
type NodeOp struct {
	Verb Verb
	Node catalog.Node
}

// ServiceOp is an operation on a service of a node.
type ServiceOp struct {
	Verb    Verb
	Node    string
	Service catalog.Service
}

// CheckOp is an operation on a check.
type CheckOp struct {
	Verb  Verb
	Check catalog.Check
}

// Result is what an operation gives back.
type Result struct {
	KV      *Entry           `json:",omitempty" cbor:",omitempty"`
	Node    *catalog.Node    `json:",omitempty" cbor:",omitempty"`
	Service *catalog.Service `json:",omitempty" cbor:",omitempty"`
	Check   *catalog.Check   `json:",omitempty" cbor:",omitempty"`
}

// OpError is why an operation failed, and with it the transaction.
type OpError struct {
	OpIndex int
	What    string
}

// Failed is the error of a transaction: all operations that failed.
type Failed []OpError

func (f Failed) Error() string {
	if len(f) == 0 {
		return "transaction failed"
	}
	return fmt.Sprintf("transaction failed: operation %d: %s", f[0].OpIndex, f[0].What)
}

// verb of an operation, and whether its noun knows it.
func (o *Op) verb() (v Verb, noun string, known bool) {
	switch {
	case o.KV != nil:
		return o.KV.Verb, "KV", o.KV.Verb.OfKeys()
	case o.Node != nil:
		return o.Node.Verb, "Node", o.Node.Verb.OfCatalog()
	case o.Service != nil:
		return o.Service.Verb, "Service", o.Service.Verb.OfCatalog()
	case o.Check != nil:
		return o.Check.Verb, "Check", o.Check.Verb.OfCatalog()
	}
	return "", "", false
}

// Changes reports whether an operation changes anything.
func (o *Op) Changes() bool {
	v, _, known := o.verb()
	return known && v.Changes()
}

// Judge finds what can be told of operations without the state: the errors of
// those that can never succeed.
func Judge(ops []Op) Failed {
	var failed Failed
	for i := range ops {
		if what := ops[i].judge(); what != "" {
			failed = append(failed, OpError{i, what})
		}
	}
	return failed
}

func (o *Op) judge() string {
	v, noun, known := o.verb()
	switch {
	case noun == "":
		return "" // it does nothing, as it always did
	case !known:
		return fmt.Sprintf("unknown %s verb %q", noun, v)
	case o.KV != nil:
		return o.KV.judge()
	default:
		return ""
	}
}

func (o *KeyOp) judge() string {
	switch {
	case o.Key == "" && o.Verb != GetTree && o.Verb != DeleteTree:
		return "Must provide key"
	case len(o.Key) > MaxKey:
		return fmt.Sprintf("the key is too long: %d bytes, at most %d", len(o.Key), MaxKey)
	case o.Session == "" && (o.Verb == Lock || o.Verb == Unlock):
		return "missing session"
	}
	return ""
}
