package catalog

import "slices"

// Instance is one endpoint of a service: the service, the node that carries it,
// and the checks that bear on it (the node's own and the service's).
type Instance struct {
	Node    *Node    `json:"Node"`
	Service *Service `json:"Service"`
	Checks  []*Check `json:"Checks"`
}

// Status is the worst state among the instance's checks; none is passing.
func (i *Instance) Status() Status { return Worst(i.Checks) }

// HasTag reports whether the service carries the tag, compared without case.
func (i *Instance) HasTag(tag string) bool { return i.Service.HasTag(tag) }

// HasTag reports whether the service carries the tag, compared without case.
func (s *Service) HasTag(tag string) bool {
	return slices.ContainsFunc(s.Tags, func(t string) bool { return EqualFold(t, tag) })
}

// Weight is the SRV weight of the instance in its present state. Zero is a
// weight of its own (RFC 2782): hardly ever chosen.
func (i *Instance) Weight() int {
	w := i.Service.Weights
	if w == (Weights{}) {
		w = DefaultWeights
	}
	if i.Status() == Warning {
		return w.Warning
	}
	return w.Passing
}

// Worst returns the worst state among checks; none is passing.
func Worst(checks []*Check) Status {
	worst := Passing
	for _, c := range checks {
		switch c.Status {
		case Critical:
			return Critical
		case Warning:
			worst = Warning
		}
	}
	return worst
}

// ServiceNode is an instance in the flat form of /v1/catalog/service.
type ServiceNode struct {
	ID                       string                    `json:"ID"`
	Node                     string                    `json:"Node"`
	Address                  string                    `json:"Address"`
	Datacenter               string                    `json:"Datacenter"`
	TaggedAddresses          map[string]string         `json:"TaggedAddresses"`
	NodeMeta                 map[string]string         `json:"NodeMeta"`
	ServiceKind              string                    `json:"ServiceKind"`
	ServiceID                string                    `json:"ServiceID"`
	ServiceName              string                    `json:"ServiceName"`
	ServiceTags              []string                  `json:"ServiceTags"`
	ServiceAddress           string                    `json:"ServiceAddress"`
	ServiceTaggedAddresses   map[string]ServiceAddress `json:"ServiceTaggedAddresses,omitempty"`
	ServiceWeights           Weights                   `json:"ServiceWeights"`
	ServiceMeta              map[string]string         `json:"ServiceMeta"`
	ServicePort              int                       `json:"ServicePort"`
	ServiceSocketPath        string                    `json:"ServiceSocketPath"`
	ServiceEnableTagOverride bool                      `json:"ServiceEnableTagOverride"`
	ServiceProxy             Proxy                     `json:"ServiceProxy"`
	ServiceConnect           Connect                   `json:"ServiceConnect"`
	ServiceLocality          *struct{}                 `json:"ServiceLocality"` // an enterprise field, always null
	CreateIndex              uint64                    `json:"CreateIndex"`
	ModifyIndex              uint64                    `json:"ModifyIndex"`
}

// Flat gives the instance in its flat form.
func (i *Instance) Flat() *ServiceNode {
	n, s := i.Node, i.Service
	return &ServiceNode{
		ID: n.ID, Node: n.Name, Address: n.Address, Datacenter: n.Datacenter,
		TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta,
		ServiceKind: s.Kind, ServiceID: s.ID, ServiceName: s.Name, ServiceTags: s.Tags,
		ServiceAddress: s.Address, ServiceTaggedAddresses: s.TaggedAddresses, ServiceWeights: s.Weights,
		ServiceMeta: s.Meta, ServicePort: s.Port, ServiceSocketPath: s.SocketPath,
		ServiceEnableTagOverride: s.EnableTagOverride, ServiceProxy: s.Proxy, ServiceConnect: s.Connect,
		CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
	}
}
