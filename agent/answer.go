package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// ServiceInfo is a service as /v1/agent/service and /v1/agent/services show it.
type ServiceInfo struct {
	Kind              string                            `json:"Kind,omitempty"`
	ID                string                            `json:"ID"`
	Service           string                            `json:"Service"`
	Tags              []string                          `json:"Tags"`
	Meta              map[string]string                 `json:"Meta"`
	Port              int                               `json:"Port"`
	Address           string                            `json:"Address"`
	SocketPath        string                            `json:"SocketPath,omitempty"`
	TaggedAddresses   map[string]catalog.ServiceAddress `json:"TaggedAddresses,omitempty"`
	Weights           catalog.Weights                   `json:"Weights"`
	EnableTagOverride bool                              `json:"EnableTagOverride"`
	ContentHash       string                            `json:"ContentHash,omitempty"` // only where one service is asked for
	Proxy             *ProxyInfo                        `json:"Proxy,omitempty"`
	Connect           *catalog.Connect                  `json:"Connect,omitempty"`
	Datacenter        string                            `json:"Datacenter"`
}

// ProxyInfo is catalog.Proxy without an empty mode.
type ProxyInfo struct {
	DestinationServiceName string         `json:"DestinationServiceName,omitempty"`
	DestinationServiceID   string         `json:"DestinationServiceID,omitempty"`
	LocalServiceAddress    string         `json:"LocalServiceAddress,omitempty"`
	LocalServicePort       int            `json:"LocalServicePort,omitempty"`
	Mode                   string         `json:"Mode,omitempty"`
	Config                 map[string]any `json:"Config,omitempty"`
	Upstreams              []any          `json:"Upstreams,omitempty"`
	MeshGateway            catalog.Object `json:"MeshGateway"`
	Expose                 catalog.Object `json:"Expose"`
	MutualTLSMode          string         `json:"MutualTLSMode,omitempty"`
	TransparentProxy       catalog.Object `json:"TransparentProxy,omitempty"`
	AccessLogs             catalog.Object `json:"AccessLogs,omitempty"`
	EnvoyExtensions        []any          `json:"EnvoyExtensions,omitempty"`
}

// HealthInfo is a service's health as /v1/agent/health/service shows it.
type HealthInfo struct {
	AggregatedStatus catalog.Status // passing, warning, critical or maintenance
	Service          *ServiceInfo
	Checks           []HealthCheckInfo
}

// HealthCheckInfo is a check within a HealthInfo, which has members of its own.
type HealthCheckInfo struct {
	Node        string
	CheckID     string
	Name        string
	Status      catalog.Status
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	ExposedPort int
	Definition  HealthCheckDefinition
	CreateIndex uint64
	ModifyIndex uint64
}

// HealthCheckDefinition is shown empty: an agent keeps its definitions to itself.
type HealthCheckDefinition struct {
	HTTP                           string
	Header                         map[string][]string
	Method                         string
	Body                           string
	TLSServerName                  string
	TLSSkipVerify                  bool
	TCP                            string
	TCPUseTLS                      bool
	UDP                            string
	GRPC                           string
	OSService                      string
	GRPCUseTLS                     bool
	Interval                       catalog.Duration
	Timeout                        catalog.Duration
	DeregisterCriticalServiceAfter catalog.Duration
}

// Node returns this machine's own entry of the catalog.
func (l *Local) Node() *catalog.Node {
	l.state.mu.RLock()
	defer l.state.mu.RUnlock()
	return l.state.node
}

// Services returns the services by ID.
func (l *Local) Services() map[string]*ServiceInfo {
	all := l.state.allServices()
	out := make(map[string]*ServiceInfo, len(all))
	for id, e := range all {
		out[id] = l.info(e.service)
	}
	return out
}

// NameOf returns the name of a service by its ID.
func (l *Local) NameOf(id string) (name string, ok bool) {
	e, ok := l.state.service(id)
	if !ok {
		return "", false
	}
	return e.service.Name, true
}

// Check returns one check, which must not be changed.
func (l *Local) Check(id string) (*catalog.Check, bool) {
	e, ok := l.state.check(id)
	return e.check, ok
}

// Service returns one service, with its content hash.
func (l *Local) Service(id string) (*ServiceInfo, error) {
	e, ok := l.state.service(id)
	if !ok {
		return nil, fault.Newf(fault.NotFound, "unknown service ID: %s", id)
	}
	info := l.info(e.service)
	data, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	info.ContentHash = hex.EncodeToString(sum[:8]) // 64 bits tell two versions of one service apart
	return info, nil
}

// WaitService returns a service once its content hash is not (or no longer) the
// one given, or as it is when ctx ends.
func (l *Local) WaitService(ctx context.Context, id, hash string) (*ServiceInfo, error) {
	for {
		_, bell := l.state.watch()
		info, err := l.Service(id)
		if err != nil || info.ContentHash != hash {
			return info, err
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return info, nil
		}
	}
}

// Checks returns the checks by ID. They are shared and must not be changed.
func (l *Local) Checks() map[string]*catalog.Check {
	all := l.state.allChecks()
	out := make(map[string]*catalog.Check, len(all))
	for id, e := range all {
		out[id] = e.check
	}
	return out
}

// ServiceHealth returns the health of one service by its ID.
func (l *Local) ServiceHealth(id string) (*HealthInfo, error) {
	e, ok := l.state.service(id)
	if !ok {
		return nil, fault.Newf(fault.NotFound, "ServiceId %s not found", id)
	}
	return health(l.info(e.service), l.Checks()), nil
}

// ServicesHealth returns the health of all services of a name, by ID, and the
// worst status among them.
func (l *Local) ServicesHealth(name string) ([]*HealthInfo, catalog.Status, error) {
	checks, services := l.Checks(), l.state.allServices()
	var out []*HealthInfo
	worst := catalog.Passing
	for _, id := range slices.Sorted(maps.Keys(services)) {
		if svc := services[id].service; svc.Name == name {
			h := health(l.info(svc), checks)
			worst = worse(worst, h.AggregatedStatus)
			out = append(out, h)
		}
	}
	if out == nil {
		return nil, catalog.Critical, fault.Newf(fault.NotFound, "ServiceName %s Not Found", name)
	}
	return out, worst, nil
}

// worse returns the worse of two states; maintenance is worse than critical.
func worse(a, b catalog.Status) catalog.Status {
	order := []catalog.Status{catalog.Passing, catalog.Warning, catalog.Critical, catalog.Maintenance}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

func health(info *ServiceInfo, all map[string]*catalog.Check) *HealthInfo {
	h := &HealthInfo{AggregatedStatus: catalog.Passing, Service: info, Checks: []HealthCheckInfo{}}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		c := all[id]
		if c.ServiceID != "" && c.ServiceID != info.ID {
			continue
		}
		status := c.Status
		if id == catalog.NodeMaintenance || strings.HasPrefix(id, catalog.ServiceMaintenancePrefix) {
			status = catalog.Maintenance
		}
		h.AggregatedStatus = worse(h.AggregatedStatus, status)
		h.Checks = append(h.Checks, HealthCheckInfo{
			Node: c.Node, CheckID: c.CheckID, Name: c.Name, Status: c.Status, Notes: c.Notes,
			Output: c.Output, ServiceID: c.ServiceID, ServiceName: c.ServiceName,
		})
	}
	return h
}

func (l *Local) info(svc *catalog.Service) *ServiceInfo {
	out := &ServiceInfo{
		Kind: svc.Kind, ID: svc.ID, Service: svc.Name, Tags: svc.Tags, Meta: svc.Meta, Port: svc.Port,
		Address: svc.Address, SocketPath: svc.SocketPath, TaggedAddresses: svc.TaggedAddresses,
		Weights: svc.Weights, EnableTagOverride: svc.EnableTagOverride, Datacenter: l.cfg.Datacenter,
	}
	if svc.Kind == kindProxy || svc.Proxy.DestinationServiceName != "" {
		p := ProxyInfo(svc.Proxy)
		out.Proxy = &p
	}
	if svc.Connect.Native {
		out.Connect = &catalog.Connect{Native: true}
	}
	return out
}
