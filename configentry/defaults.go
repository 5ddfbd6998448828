package configentry

import (
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// ServiceDefaults are the settings of all instances of a service.
type ServiceDefaults struct {
	Protocol                  string `json:",omitempty"`
	Mode                      string `json:",omitempty"`
	TransparentProxy          TransparentProxy
	MutualTLSMode             string `json:",omitempty"`
	MeshGateway               MeshGateway
	Expose                    Expose
	ExternalSNI               string           `json:",omitempty"`
	UpstreamConfig            *Upstreams       `json:",omitempty"`
	Destination               *Destination     `json:",omitempty"`
	MaxInboundConnections     int              `json:",omitempty"`
	LocalConnectTimeoutMs     int              `json:",omitempty"`
	LocalRequestTimeoutMs     int              `json:",omitempty"`
	BalanceInboundConnections string           `json:",omitempty"`
	RateLimits                *RateLimits      `json:",omitempty"`
	EnvoyExtensions           []EnvoyExtension `json:",omitempty"`
	MaxRequestHeadersKB       *uint32          `json:",omitempty"`
}

// ProxyDefaults are the settings of all proxies of a datacenter.
type ProxyDefaults struct {
	Mode                 string `json:",omitempty"`
	TransparentProxy     TransparentProxy
	MutualTLSMode        string         `json:",omitempty"`
	Config               map[string]any `json:",omitempty"`
	MeshGateway          MeshGateway
	Expose               Expose
	AccessLogs           AccessLogs
	EnvoyExtensions      []EnvoyExtension `json:",omitempty"`
	FailoverPolicy       *FailoverPolicy  `json:",omitempty"`
	PrioritizeByLocality *ByLocality      `json:",omitempty"`
}

// Parts of the defaults, kept for the mesh.
type (
	// TransparentProxy says how traffic reaches a proxy.
	TransparentProxy struct {
		OutboundListenerPort int  `json:",omitempty"`
		DialedDirectly       bool `json:",omitempty"`
	}
	// MeshGateway says through which gateways traffic to other datacenters goes.
	MeshGateway struct {
		Mode string `json:",omitempty"`
	}
	// Expose opens paths of a service to those outside the mesh.
	Expose struct {
		Checks bool         `json:",omitempty"`
		Paths  []ExposePath `json:",omitempty"`
	}
	// ExposePath is one of them.
	ExposePath struct {
		ListenerPort    int    `json:",omitempty"`
		Path            string `json:",omitempty"`
		LocalPathPort   int    `json:",omitempty"`
		Protocol        string `json:",omitempty"`
		ParsedFromCheck bool   `json:",omitempty"`
	}
	// EnvoyExtension changes what a proxy is told.
	EnvoyExtension struct {
		Name          string
		Required      bool
		Arguments     map[string]any
		ConsulVersion string
		EnvoyVersion  string
	}
	// AccessLogs are the logs of proxies.
	AccessLogs struct {
		Enabled             bool   `json:",omitempty"`
		DisableListenerLogs bool   `json:",omitempty"`
		Type                string `json:",omitempty"`
		Path                string `json:",omitempty"`
		JSONFormat          string `json:",omitempty"`
		TextFormat          string `json:",omitempty"`
	}
	// Upstreams are settings for what a service uses.
	Upstreams struct {
		Overrides []*Upstream `json:",omitempty"`
		Defaults  *Upstream   `json:",omitempty"`
	}
	// Upstream is one service used by another.
	Upstream struct {
		Name                       string              `json:",omitempty"`
		Partition                  string              `json:",omitempty"`
		Namespace                  string              `json:",omitempty"`
		Peer                       string              `json:",omitempty"`
		EnvoyListenerJSON          string              `json:",omitempty"`
		EnvoyClusterJSON           string              `json:",omitempty"`
		Protocol                   string              `json:",omitempty"`
		ConnectTimeoutMs           int                 `json:",omitempty"`
		Limits                     *UpstreamLimits     `json:",omitempty"`
		PassiveHealthCheck         *PassiveHealthCheck `json:",omitempty"`
		MeshGateway                MeshGateway
		BalanceOutboundConnections string `json:",omitempty"`
	}
	// Destination is a service outside of the mesh.
	Destination struct {
		Addresses []string `json:",omitempty"`
		Port      int      `json:",omitempty"`
	}
	// PassiveHealthCheck watches real traffic.
	PassiveHealthCheck struct {
		Interval                           time.Duration `json:",omitempty"`
		MaxFailures                        uint32
		EnforcingConsecutive5xx            *uint32        `json:",omitempty"`
		EnforcingConsecutiveGatewayFailure *uint32        `json:",omitempty"`
		Consecutive5xx                     *uint32        `json:",omitempty"`
		ConsecutiveGatewayFailure          *uint32        `json:",omitempty"`
		MaxEjectionPercent                 *uint32        `json:",omitempty"`
		BaseEjectionTime                   *time.Duration `json:",omitempty"`
	}
	// UpstreamLimits bound connections and requests.
	UpstreamLimits struct {
		MaxConnections        *int
		MaxPendingRequests    *int
		MaxConcurrentRequests *int
		PassiveHealthCheck    *PassiveHealthCheck `json:",omitempty"`
	}
	// RateLimits bound what an instance is asked.
	RateLimits struct{ InstanceLevel InstanceLimits }
	// InstanceLimits are those of an instance.
	InstanceLimits struct {
		RequestsPerSecond int
		RequestsMaxBurst  int
		Routes            []RouteLimits
	}
	// RouteLimits are those of some paths.
	RouteLimits struct {
		PathExact, PathPrefix, PathRegex    string
		RequestsPerSecond, RequestsMaxBurst int
	}
)

func (d *ServiceDefaults) normalize() {
	d.Protocol = strings.ToLower(d.Protocol)
	if d.UpstreamConfig != nil {
		for _, u := range append(d.UpstreamConfig.Overrides, d.UpstreamConfig.Defaults) {
			if u != nil {
				u.Protocol = strings.ToLower(u.Protocol)
			}
		}
	}
}

func (d *ServiceDefaults) validate(e *Entry) error {
	if e.Name == "*" {
		return fault.Newf(fault.Invalid, "service-defaults name must be the name of a service, and not a wildcard")
	}
	if err := checkModes(d.Mode, d.MutualTLSMode, d.MeshGateway, &d.Expose); err != nil {
		return err
	}
	if b := d.BalanceInboundConnections; b != "" && b != "exact_balance" {
		return fault.Newf(fault.Invalid, "invalid value for balance_inbound_connections: %v", b)
	}
	if err := checkExtensions(d.EnvoyExtensions); err != nil {
		return err
	}
	if d.Destination != nil {
		if d.Destination.Port < 1 || d.Destination.Port > 65535 {
			return fault.Newf(fault.Invalid, "Invalid Port number %d", d.Destination.Port)
		}
		if len(d.Destination.Addresses) == 0 {
			return fault.Newf(fault.Invalid, "Destination.Addresses must contain at least one address")
		}
	}
	if d.UpstreamConfig == nil {
		return nil
	}
	for i, u := range d.UpstreamConfig.Overrides {
		if u == nil || u.Name == "" {
			return fault.Newf(fault.Invalid, "error in upstream override %d: Name is required", i)
		}
		if err := checkGateway(u.MeshGateway); err != nil {
			return fault.Newf(fault.Invalid, "error in upstream override for %s: %w", u.Name, err)
		}
	}
	if u := d.UpstreamConfig.Defaults; u != nil {
		if u.Name != "" {
			return fault.Newf(fault.Invalid, "error in upstream defaults: Name must be empty")
		}
		if err := checkGateway(u.MeshGateway); err != nil {
			return fault.Newf(fault.Invalid, "error in upstream defaults: %w", err)
		}
	}
	return nil
}

func (d *ProxyDefaults) normalize() {
	if len(d.Config) == 0 {
		d.Config = nil
	}
}

// Protocol is the one that proxies speak unless a service says otherwise, "" = not said.
func (d *ProxyDefaults) Protocol() string {
	p, _ := d.Config["protocol"].(string)
	return strings.ToLower(p)
}

func (d *ProxyDefaults) validate(e *Entry) error {
	if e.Name != ProxyDefaultsName {
		return fault.Newf(fault.Invalid, "invalid name (%q), only %q is supported", e.Name, ProxyDefaultsName)
	}
	if err := checkModes(d.Mode, d.MutualTLSMode, d.MeshGateway, &d.Expose); err != nil {
		return err
	}
	switch d.AccessLogs.Type {
	case "", "file", "stderr", "stdout":
	default:
		return fault.Newf(fault.Invalid, "invalid access log type: %s", d.AccessLogs.Type)
	}
	switch a := d.AccessLogs; {
	case a.JSONFormat != "" && a.TextFormat != "":
		return fault.Newf(fault.Invalid, "cannot specify both access log JSONFormat and TextFormat")
	case a.Type == "file" && a.Path == "":
		return fault.Newf(fault.Invalid, "path must be specified when using file type access logs")
	case a.Type != "file" && a.Path != "":
		return fault.Newf(fault.Invalid, "path is only valid for file type access logs")
	}
	return checkExtensions(d.EnvoyExtensions)
}

func checkModes(mode, tls string, gateway MeshGateway, expose *Expose) error {
	switch mode {
	case "", "direct", "transparent":
	default:
		return fault.Newf(fault.Invalid, "invalid proxy mode: %q (expected one of \"direct\", \"transparent\")", mode)
	}
	switch tls {
	case "", "strict", "permissive":
	default:
		return fault.Newf(fault.Invalid, "invalid mutual TLS mode: %q (expected one of \"strict\", \"permissive\")", tls)
	}
	for _, p := range expose.Paths {
		switch p.Protocol {
		case "", "http", "http2":
		default:
			return fault.Newf(fault.Invalid, "protocol %q of exposed path %q must be http or http2", p.Protocol, p.Path)
		}
	}
	return checkGateway(gateway)
}

func checkGateway(g MeshGateway) error {
	switch g.Mode {
	case "", "none", "local", "remote":
		return nil
	}
	return fault.Newf(fault.Invalid, "Invalid Mesh Gateway Mode: %q", g.Mode)
}

func checkExtensions(list []EnvoyExtension) error {
	for i, x := range list {
		if x.Name == "" {
			return fault.Newf(fault.Invalid, "invalid EnvoyExtensions[%d]: Name is required", i)
		}
	}
	return nil
}
