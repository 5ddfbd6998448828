package edge

import (
	"consul.internal/catalog"
)

// Translator replaces addresses of other datacenters by those that lead there
// over the WAN, where translate_wan_addrs says so. What it changes it copies:
// the catalog's nouns are shared.
type Translator struct {
	own string // datacenter; "" = nothing is translated
}

// Translator is the one that the settings of the moment ask for.
func (b *Base) Translator() Translator {
	cfg := b.Settings()
	if !cfg.TranslateWANAddrs {
		return Translator{}
	}
	return Translator{cfg.Datacenter}
}

func (t Translator) abroad(n *catalog.Node) bool {
	return t.own != "" && n != nil && n.Datacenter != "" && n.Datacenter != t.own
}

// wanAddress picks the address over the WAN: as in DNS, IPv6 before IPv4 before
// the one without a family.
func wanAddress(get func(tag string) string, otherwise string) string {
	for _, tag := range []string{catalog.TaggedWANIPv6, catalog.TaggedWANIPv4, catalog.TaggedWAN} {
		if a := get(tag); a != "" {
			return a
		}
	}
	return otherwise
}

// Node translates a node.
func (t Translator) Node(n *catalog.Node) *catalog.Node {
	if !t.abroad(n) {
		return n
	}
	copied := *n
	copied.Address = wanAddress(func(tag string) string { return n.TaggedAddresses[tag] }, n.Address)
	return &copied
}

// Nodes translates nodes.
func (t Translator) Nodes(list []*catalog.Node) []*catalog.Node {
	if t.own == "" {
		return list
	}
	out := make([]*catalog.Node, len(list))
	for i, n := range list {
		out[i] = t.Node(n)
	}
	return out
}

// Service translates a service of a node.
func (t Translator) Service(s *catalog.Service, of *catalog.Node) *catalog.Service {
	if s == nil || !t.abroad(of) {
		return s
	}
	copied := *s
	copied.Address = wanAddress(func(tag string) string { return s.TaggedAddresses[tag].Address }, s.Address)
	if p := s.TaggedAddresses[catalog.TaggedWAN].Port; p != 0 {
		copied.Port = p
	}
	return &copied
}

// Instance translates an instance; it returns a copy in any case.
func (t Translator) Instance(i *catalog.Instance) *catalog.Instance {
	copied := *i
	copied.Node, copied.Service = t.Node(i.Node), t.Service(i.Service, i.Node)
	return &copied
}
