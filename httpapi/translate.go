package httpapi

import (
	"consul.internal/catalog"
)

// translator replaces addresses of other datacenters by those that lead there
// over the WAN, where translate_wan_addrs says so. What it changes it copies:
// the catalog's nouns are shared.
type translator struct {
	own string // datacenter; "" = nothing is translated
}

func (s *Server) translator() translator {
	cfg := s.config()
	if !cfg.TranslateWANAddrs {
		return translator{}
	}
	return translator{cfg.Datacenter}
}

func (t translator) abroad(n *catalog.Node) bool {
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

func (t translator) node(n *catalog.Node) *catalog.Node {
	if !t.abroad(n) {
		return n
	}
	copied := *n
	copied.Address = wanAddress(func(tag string) string { return n.TaggedAddresses[tag] }, n.Address)
	return &copied
}

func (t translator) nodes(list []*catalog.Node) []*catalog.Node {
	if t.own == "" {
		return list
	}
	out := make([]*catalog.Node, len(list))
	for i, n := range list {
		out[i] = t.node(n)
	}
	return out
}

// service translates a service of a node.
func (t translator) service(s *catalog.Service, of *catalog.Node) *catalog.Service {
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

// instance translates an instance; it returns a copy in any case.
func (t translator) instance(i *catalog.Instance) *catalog.Instance {
	copied := *i
	copied.Node, copied.Service = t.node(i.Node), t.service(i.Service, i.Node)
	return &copied
}
