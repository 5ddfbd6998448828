package catalog

// Node is a machine, or something that has a machine's place in the catalog.
type Node struct {
	ID              string            `json:"ID"`
	Name            string            `json:"Node"`
	Address         string            `json:"Address"`
	Datacenter      string            `json:"Datacenter"`
	TaggedAddresses map[string]string `json:"TaggedAddresses"`
	Meta            map[string]string `json:"Meta"`
	CreateIndex     uint64            `json:"CreateIndex"`
	ModifyIndex     uint64            `json:"ModifyIndex"`
}

// SameContent reports whether two nodes differ in nothing but their indexes.
func (n *Node) SameContent(o *Node) bool {
	return n.ID == o.ID && n.Name == o.Name && n.Address == o.Address && n.Datacenter == o.Datacenter &&
		sameMap(n.TaggedAddresses, o.TaggedAddresses) && sameMap(n.Meta, o.Meta)
}

// Keys of Node.TaggedAddresses and Service.TaggedAddresses that have a meaning.
const (
	TaggedLAN     = "lan"
	TaggedLANIPv4 = "lan_ipv4"
	TaggedLANIPv6 = "lan_ipv6"
	TaggedWAN     = "wan"
	TaggedWANIPv4 = "wan_ipv4"
	TaggedWANIPv6 = "wan_ipv6"
)
