package definition

import (
	"time"

	"consul.internal/internal/hclconf"
)

// ServiceBlock is a "service" block. Spellings of the HTTP API (EnableTagOverride)
// are taken too, since keys are matched loosely.
type ServiceBlock struct {
	Pos               hclconf.Range           `hcl:",range"`
	Kind              string                  `hcl:"kind" doc:"kind of proxy; empty for a service"`
	ID                string                  `hcl:"id" doc:"ID on this machine; default is the name"`
	Name              string                  `hcl:"name,service" doc:"name that it is found by"`
	Tags              []string                `hcl:"tags" doc:"tags"`
	Address           string                  `hcl:"address" doc:"address; default is the node's"`
	TaggedAddresses   map[string]AddressBlock `hcl:"tagged_addresses" doc:"addresses by tag, such as lan and wan"`
	Meta              map[string]string       `hcl:"meta" doc:"key and value pairs, 64 at most"`
	Port              int                     `hcl:"port" doc:"port"`
	SocketPath        string                  `hcl:"socket_path" doc:"unix socket instead of address and port"`
	Weights           *WeightsBlock           `hcl:"weights" doc:"DNS SRV weights"`
	EnableTagOverride bool                    `hcl:"enable_tag_override" doc:"let others change the tags in the catalog"`
	Token             string                  `hcl:"token" doc:"ACL token to register with"`
	Check             []CheckBlock            `hcl:"check" doc:"checks of the service"`
	Checks            []CheckBlock            `hcl:"checks" doc:"checks of the service"`
	Proxy             *ProxyBlock             `hcl:"proxy" later:"mesh" doc:"settings of a proxy"`
	Connect           *ConnectBlock           `hcl:"connect" later:"mesh" doc:"the service in the mesh"`
	Locality          *LocalityBlock          `hcl:"locality" later:"mesh" doc:"region and zone"`
	Namespace         string                  `hcl:"namespace" later:"enterprise" doc:"namespace"`
	Partition         string                  `hcl:"partition" later:"enterprise" doc:"admin partition"`
}

// AddressBlock is one of a service's addresses.
type AddressBlock struct {
	Address string `hcl:"address" doc:"address"`
	Port    int    `hcl:"port" doc:"port"`
}

// WeightsBlock is the weights of a service in DNS.
type WeightsBlock struct {
	Passing *int `hcl:"passing" doc:"weight while passing"`
	Warning *int `hcl:"warning" doc:"weight while warning"`
}

// ConnectBlock says how a service stands in the mesh.
type ConnectBlock struct {
	Native         bool           `hcl:"native" doc:"the service speaks the mesh's protocol itself"`
	SidecarService map[string]any `hcl:"sidecar_service" doc:"a proxy registered beside it"`
}

// ProxyBlock is the settings of a proxy.
type ProxyBlock struct {
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

// CheckBlock is a "check" block.
type CheckBlock struct {
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

// LocalityBlock says where a machine stands.
type LocalityBlock struct {
	Region *string `hcl:"region" doc:"region"`
	Zone   *string `hcl:"zone" doc:"zone"`
}

// Unbuilt names the keys of a block that are given though no part uses them yet.
func Unbuilt(b *ServiceBlock) []string {
	var names []string
	for _, k := range []struct {
		used bool
		name string
	}{
		{b.Proxy != nil, "service.proxy"},
		{b.Connect != nil, "service.connect"},
		{b.Locality != nil, "service.locality"},
		{b.Namespace != "" || b.Partition != "", "service.namespace"},
	} {
		if k.used {
			names = append(names, k.name)
		}
	}
	return names
}
