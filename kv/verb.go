package kv

// Verb is what is done with a key or with another noun in a transaction.
type Verb string

// The verbs. Nodes, services and checks know Get, Set, CAS, Delete and DeleteCAS.
const (
	Set            Verb = "set"
	CAS            Verb = "cas"
	Lock           Verb = "lock"
	Unlock         Verb = "unlock"
	Get            Verb = "get"
	GetOrEmpty     Verb = "get-or-empty"
	GetTree        Verb = "get-tree"
	CheckIndex     Verb = "check-index"
	CheckSession   Verb = "check-session"
	CheckNotExists Verb = "check-not-exists"
	Delete         Verb = "delete"
	DeleteTree     Verb = "delete-tree"
	DeleteCAS      Verb = "delete-cas"
)

// Changes reports whether a verb changes anything. Unknown ones do not.
func (v Verb) Changes() bool {
	switch v {
	case Set, CAS, Lock, Unlock, Delete, DeleteTree, DeleteCAS:
		return true
	}
	return false
}

// OfKeys reports whether a verb is one of keys.
func (v Verb) OfKeys() bool {
	switch v {
	case Get, GetOrEmpty, GetTree, CheckIndex, CheckSession, CheckNotExists:
		return true
	}
	return v.Changes()
}

// OfCatalog reports whether a verb is one of nodes, services and checks.
func (v Verb) OfCatalog() bool {
	switch v {
	case Get, Set, CAS, Delete, DeleteCAS:
		return true
	}
	return false
}
