package agent

import (
	"consul.internal/catalog"
	"consul.internal/checks"
)

// ServiceDefinition is a service of this machine as a configuration file's
// "service" block and a registration over HTTP both decode into.
type ServiceDefinition struct {
	Kind              string
	ID                string // "" = Name
	Name              string
	Tags              []string
	Address           string
	TaggedAddresses   map[string]catalog.ServiceAddress
	Meta              map[string]string
	Port              int
	SocketPath        string
	Weights           *catalog.Weights
	EnableTagOverride bool
	Token             string
	Checks            []checks.Definition
	Proxy             catalog.Proxy
	Connect           catalog.Connect
}
