package configs

import (
	"strings"
	"time"

	"consul.internal/agent"
	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/hclconf"
)

// serviceFile is a "service" block. Spellings of the HTTP API (EnableTagOverride)
// are taken too, since keys are matched loosely.
type serviceFile struct {
	Pos               hclconf.Range                 `hcl:",range"`
	Kind              string                        `hcl:"kind" doc:"kind of proxy; empty for a service"`
	ID                string                        `hcl:"id" doc:"ID on this machine; default is the name"`
	Name              string                        `hcl:"name,service" doc:"name that it is found by"`
	Tags              []string                      `hcl:"tags" doc:"tags"`
	Address           string                        `hcl:"address" doc:"address; default is the node's"`
	TaggedAddresses   map[string]serviceAddressFile `hcl:"tagged_addresses" doc:"addresses by tag, such as lan and wan"`
	Meta              map[string]string             `hcl:"meta" doc:"key and value pairs, 64 at most"`
	Port              int                           `hcl:"port" doc:"port"`
	SocketPath        string                        `hcl:"socket_path" doc:"unix socket instead of address and port"`
	Weights           *weightsFile                  `hcl:"weights" doc:"DNS SRV weights"`
	EnableTagOverride bool                          `hcl:"enable_tag_override" doc:"let others change the tags in the catalog"`
	Token             string                        `hcl:"token" doc:"ACL token to register with"`
	Check             []checkFile                   `hcl:"check" doc:"checks of the service"`
	Checks            []checkFile                   `hcl:"checks" doc:"checks of the service"`
	Proxy             *proxyFile                    `hcl:"proxy" later:"mesh" doc:"settings of a proxy"`
	Connect           *serviceConnectFile           `hcl:"connect" later:"mesh" doc:"the service in the mesh"`
	Locality          *localityFile                 `hcl:"locality" later:"mesh" doc:"region and zone"`
	Namespace         string                        `hcl:"namespace" later:"enterprise" doc:"namespace"`
	Partition         string                        `hcl:"partition" later:"enterprise" doc:"admin partition"`
}

type serviceAddressFile struct {
	Address string `hcl:"address" doc:"address"`
	Port    int    `hcl:"port" doc:"port"`
}

type weightsFile struct {
	Passing *int `hcl:"passing" doc:"weight while passing"`
	Warning *int `hcl:"warning" doc:"weight while warning"`
}

type serviceConnectFile struct {
	Native         bool           `hcl:"native" doc:"the service speaks the mesh's protocol itself"`
	SidecarService map[string]any `hcl:"sidecar_service" doc:"a proxy registered beside it"`
}

type proxyFile struct {
	DestinationServiceName string           `hcl:"destination_service_name,destination_service" doc:"service that it stands for"`
	DestinationServiceID   string           `hcl:"destination_service_id" doc:"the same by ID"`
	LocalServiceAddress    string           `hcl:"local_service_address" doc:"where that is"`
	LocalServicePort       int              `hcl:"local_service_port" doc:"its port"`
	LocalServiceSocketPath string           `hcl:"local_service_socket_path" doc:"its socket"`
	Mode                   string           `hcl:"mode" doc:"direct or transparent"`
	TransparentProxy       map[string]any   `hcl:"transparent_proxy" doc:"settings of the mode transparent"`
	Config                 map[string]any   `hcl:"config" doc:"settings of the proxy software"`
	Upstreams              []map[string]any `hcl:"upstreams" doc:"services that it reaches"`
	MeshGateway            map[string]any   `hcl:"mesh_gateway" doc:"use of mesh gateways"`
	Expose                 map[string]any   `hcl:"expose" doc:"paths reachable without the mesh"`
	EnvoyExtensions        []map[string]any `hcl:"envoy_extensions" doc:"extensions of the proxy software"`
	AccessLogs             map[string]any   `hcl:"access_logs" doc:"logs of the proxy software"`
}

// checkFile is a "check" block.
type checkFile struct {
	Pos                            hclconf.Range       `hcl:",range"`
	ID                             string              `hcl:"id,check_id" doc:"ID on this machine; default is the name"`
	Name                           string              `hcl:"name" doc:"name"`
	Notes                          string              `hcl:"notes" doc:"text for people"`
	ServiceID                      string              `hcl:"service_id" doc:"service that a check at the top level belongs to"`
	Token                          string              `hcl:"token" doc:"ACL token to register with"`
	Status                         string              `hcl:"status" doc:"state before the first run; default is critical"`
	Script                         any                 `hcl:"script" removed:"write args = [\"/bin/sh\", \"-c\", \"...\"]"`
	Args                           []string            `hcl:"args,script_args" doc:"command of a script check; its exit code is the state"`
	HTTP                           string              `hcl:"http" doc:"URL of an HTTP check"`
	Header                         map[string][]string `hcl:"header" doc:"headers of an HTTP check"`
	Method                         string              `hcl:"method" doc:"method of an HTTP check"`
	Body                           string              `hcl:"body" doc:"body of an HTTP check"`
	DisableRedirects               bool                `hcl:"disable_redirects" doc:"an HTTP check follows no redirect"`
	OutputMaxSize                  int                 `hcl:"output_max_size" doc:"bytes of output that are kept"`
	TCP                            string              `hcl:"tcp" doc:"host:port of a TCP check"`
	TCPUseTLS                      bool                `hcl:"tcp_use_tls" doc:"a TCP check speaks TLS"`
	UDP                            string              `hcl:"udp" doc:"host:port of a UDP check"`
	Interval                       time.Duration       `hcl:"interval" doc:"pause between runs"`
	DockerContainerID              string              `hcl:"docker_container_id" doc:"container that args run in"`
	Shell                          string              `hcl:"shell" doc:"shell in that container"`
	GRPC                           string              `hcl:"grpc" doc:"host:port/service of a gRPC check"`
	GRPCUseTLS                     bool                `hcl:"grpc_use_tls" doc:"a gRPC check speaks TLS"`
	H2PING                         string              `hcl:"h2ping" doc:"host:port of an HTTP/2 ping check"`
	H2PINGUseTLS                   *bool               `hcl:"h2ping_use_tls" doc:"an HTTP/2 ping check speaks TLS; default is true"`
	OSService                      string              `hcl:"os_service" doc:"name of a service of the operating system"`
	TLSServerName                  string              `hcl:"tls_server_name" doc:"name expected in the certificate"`
	TLSSkipVerify                  bool                `hcl:"tls_skip_verify" doc:"take any certificate"`
	Timeout                        time.Duration       `hcl:"timeout" doc:"how long a run may take"`
	TTL                            time.Duration       `hcl:"ttl" doc:"time after which a check without a report is critical"`
	AliasNode                      string              `hcl:"alias_node" doc:"node whose state an alias check takes"`
	AliasService                   string              `hcl:"alias_service" doc:"service whose state an alias check takes"`
	SuccessBeforePassing           int                 `hcl:"success_before_passing" doc:"good runs in a row until passing"`
	FailuresBeforeWarning          int                 `hcl:"failures_before_warning" doc:"bad runs in a row until warning"`
	FailuresBeforeCritical         int                 `hcl:"failures_before_critical" doc:"bad runs in a row until critical"`
	DeregisterCriticalServiceAfter time.Duration       `hcl:"deregister_critical_service_after" doc:"remove the service after so long in the state critical"`
	Namespace                      string              `hcl:"namespace" later:"enterprise" doc:"namespace"`
	Partition                      string              `hcl:"partition" later:"enterprise" doc:"admin partition"`
}

func checkDefinition(c *checkFile) checks.Definition {
	d := checks.Definition{
		ID: c.ID, Name: c.Name, Notes: c.Notes, ServiceID: c.ServiceID, Token: c.Token,
		Status: catalog.Status(strings.ToLower(c.Status)), TTL: c.TTL,
		HTTP: c.HTTP, Method: c.Method, Header: c.Header, Body: c.Body, DisableRedirects: c.DisableRedirects,
		TCP: c.TCP, TCPUseTLS: c.TCPUseTLS, UDP: c.UDP,
		GRPC: c.GRPC, GRPCUseTLS: c.GRPCUseTLS,
		H2PING: c.H2PING, H2PINGUseTLS: c.H2PING != "" && (c.H2PINGUseTLS == nil || *c.H2PINGUseTLS),
		Args: c.Args, DockerContainerID: c.DockerContainerID, Shell: c.Shell, OSService: c.OSService,
		AliasNode: c.AliasNode, AliasService: c.AliasService,
		TLSServerName: c.TLSServerName, TLSSkipVerify: c.TLSSkipVerify,
		Interval: c.Interval, Timeout: c.Timeout,
		SuccessBeforePassing: c.SuccessBeforePassing, FailuresBeforeWarning: c.FailuresBeforeWarning,
		FailuresBeforeCritical: c.FailuresBeforeCritical, DeregisterCriticalServiceAfter: c.DeregisterCriticalServiceAfter,
		OutputMaxSize: c.OutputMaxSize,
	}
	return d
}

func serviceDefinition(s *serviceFile) agent.ServiceDefinition {
	d := agent.ServiceDefinition{
		Kind: s.Kind, ID: s.ID, Name: s.Name, Tags: s.Tags, Address: s.Address, Meta: s.Meta, Port: s.Port,
		SocketPath: s.SocketPath, EnableTagOverride: s.EnableTagOverride, Token: s.Token,
	}
	if len(s.TaggedAddresses) > 0 {
		d.TaggedAddresses = make(map[string]catalog.ServiceAddress, len(s.TaggedAddresses))
		for tag, a := range s.TaggedAddresses {
			d.TaggedAddresses[tag] = catalog.ServiceAddress{Address: a.Address, Port: a.Port}
		}
	}
	if s.Weights != nil {
		w := catalog.DefaultWeights
		if s.Weights.Passing != nil {
			w.Passing = *s.Weights.Passing
		}
		if s.Weights.Warning != nil {
			w.Warning = *s.Weights.Warning
		}
		d.Weights = &w
	}
	for i := range s.Check {
		d.Checks = append(d.Checks, checkDefinition(&s.Check[i]))
	}
	for i := range s.Checks {
		d.Checks = append(d.Checks, checkDefinition(&s.Checks[i]))
	}
	if s.Connect != nil {
		d.Connect = catalog.Connect{Native: s.Connect.Native}
	}
	if p := s.Proxy; p != nil {
		d.Proxy = catalog.Proxy{
			DestinationServiceName: p.DestinationServiceName, DestinationServiceID: p.DestinationServiceID,
			LocalServiceAddress: p.LocalServiceAddress, LocalServicePort: p.LocalServicePort, Mode: p.Mode,
			Config: p.Config, MeshGateway: camelKeys(p.MeshGateway), Expose: camelKeys(p.Expose),
		}
		for _, u := range p.Upstreams {
			d.Proxy.Upstreams = append(d.Proxy.Upstreams, camelKeys(u))
		}
	}
	return d
}

// camelKeys turns destination_name into DestinationName, as the HTTP API writes
// the same. What stands under "config" belongs to the proxy and stays.
func camelKeys(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		if strings.EqualFold(k, "config") {
			out["Config"] = v
			continue
		}
		var name strings.Builder
		for part := range strings.SplitSeq(k, "_") {
			if part != "" {
				name.WriteString(strings.ToUpper(part[:1]) + part[1:])
			}
		}
		out[name.String()] = camelValue(v)
	}
	return out
}

func camelValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return camelKeys(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = camelValue(v[i])
		}
		return out
	}
	return v
}
