package catalog

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
)

// ServiceConsul is the name under which every server registers itself.
const ServiceConsul = "consul"

// Service is one instance of a service as a node carries it.
type Service struct {
	Kind              string                    `json:"Kind,omitempty"`
	ID                string                    `json:"ID"`
	Name              string                    `json:"Service"`
	Tags              []string                  `json:"Tags"`
	Address           string                    `json:"Address"`
	TaggedAddresses   map[string]ServiceAddress `json:"TaggedAddresses,omitempty"`
	Meta              map[string]string         `json:"Meta"`
	Port              int                       `json:"Port"`
	SocketPath        string                    `json:"SocketPath,omitempty"`
	Weights           Weights                   `json:"Weights"`
	EnableTagOverride bool                      `json:"EnableTagOverride"`
	Proxy             Proxy                     `json:"Proxy"`
	Connect           Connect                   `json:"Connect"`
	CreateIndex       uint64                    `json:"CreateIndex"`
	ModifyIndex       uint64                    `json:"ModifyIndex"`
}

// ServiceAddress is an address and port of a service under a tag such as "wan".
type ServiceAddress struct {
	Address string `json:"Address"`
	Port    int    `json:"Port"`
}

// Weights are the SRV weights of an instance by its health.
type Weights struct {
	Passing int `json:"Passing"`
	Warning int `json:"Warning"`
}

// DefaultWeights apply where a registration names none.
var DefaultWeights = Weights{Passing: 1, Warning: 1}

// Proxy keeps what a registration says about a sidecar. The mesh is not built;
// the fields are stored and shown.
type Proxy struct {
	DestinationServiceName string         `json:"DestinationServiceName,omitempty"`
	DestinationServiceID   string         `json:"DestinationServiceID,omitempty"`
	LocalServiceAddress    string         `json:"LocalServiceAddress,omitempty"`
	LocalServicePort       int            `json:"LocalServicePort,omitempty"`
	Mode                   string         `json:"Mode"`
	Config                 map[string]any `json:"Config,omitempty"`
	Upstreams              []any          `json:"Upstreams,omitempty"`
	MeshGateway            Object         `json:"MeshGateway"`
	Expose                 Object         `json:"Expose"`
	// What central settings say of a proxy beside its registration.
	MutualTLSMode    string `json:"MutualTLSMode,omitempty"`
	TransparentProxy Object `json:"TransparentProxy,omitempty"`
	AccessLogs       Object `json:"AccessLogs,omitempty"`
	EnvoyExtensions  []any  `json:"EnvoyExtensions,omitempty"`
}

// Object is a JSON object that is kept as it came and is {} when absent.
type Object map[string]any

// MarshalJSON writes an absent object as {}.
func (o Object) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]any(o))
}

// Connect keeps a registration's mesh settings, as Proxy does.
type Connect struct {
	Native bool `json:"Native,omitempty"`
}

// SameContent reports whether two services differ in nothing but their indexes.
func (s *Service) SameContent(o *Service) bool {
	return s.Kind == o.Kind && s.ID == o.ID && s.Name == o.Name && s.Address == o.Address && s.Port == o.Port &&
		s.SocketPath == o.SocketPath && s.Weights == o.Weights && s.EnableTagOverride == o.EnableTagOverride &&
		s.Connect == o.Connect && slices.Equal(s.Tags, o.Tags) && sameMap(s.Meta, o.Meta) &&
		sameMap(s.TaggedAddresses, o.TaggedAddresses) && s.Proxy.same(&o.Proxy)
}

func (p *Proxy) same(o *Proxy) bool {
	if p.isZero() && o.isZero() {
		return true
	}
	return reflect.DeepEqual(p, o)
}

func (p *Proxy) isZero() bool {
	return p.DestinationServiceName == "" && p.DestinationServiceID == "" && p.LocalServiceAddress == "" &&
		p.LocalServicePort == 0 && p.Mode == "" && len(p.Config) == 0 && len(p.Upstreams) == 0 &&
		len(p.MeshGateway) == 0 && len(p.Expose) == 0 &&
		p.MutualTLSMode == "" && len(p.TransparentProxy) == 0 && len(p.AccessLogs) == 0 && len(p.EnvoyExtensions) == 0
}

// sameMap compares two maps, an absent one being equal to an empty one.
func sameMap[K, V comparable](a, b map[K]V) bool { return maps.Equal(a, b) }
