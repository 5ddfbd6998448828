package catalog

// Inventory is a node and all that is on it.
type Inventory struct {
	*Node
	Services []*Service
	Checks   []*Check // the node's own and its services'
}
