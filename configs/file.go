package configs

import (
	"time"

	"consul.internal/configs/definition"
)

// file is what one source says. A nil field was not named. The tags of a field:
//
//	hcl     the key's name, and other spellings of it
//	doc     one line for people
//	reload  "yes": a running agent takes a change of it
//	later   the part that will use the key; until then it is accepted with a
//	        warning. On a block it holds for all keys inside.
type file struct {
	// Identity and role.
	Datacenter            *string           `hcl:"datacenter" doc:"name of this datacenter: lower case letters, digits, - and _"`
	PrimaryDatacenter     *string           `hcl:"primary_datacenter" doc:"datacenter that owns ACLs and config entries; default is this one"`
	NodeName              *string           `hcl:"node_name,node" doc:"name of this node; default is the host name"`
	NodeID                *string           `hcl:"node_id" doc:"UUID of this node; default is a random one kept in the data directory"`
	NodeMeta              map[string]string `hcl:"node_meta" reload:"yes" doc:"key and value pairs shown with this node, 64 at most"`
	DisableHostNodeID     *bool             `hcl:"disable_host_node_id" doc:"do not derive the node ID from the machine"`
	Domain                *string           `hcl:"domain" doc:"DNS domain that this agent answers"`
	AltDomain             *string           `hcl:"alt_domain" doc:"second DNS domain that this agent answers"`
	DataDir               *string           `hcl:"data_dir" doc:"directory for everything that must survive a restart"`
	PidFile               *string           `hcl:"pid_file" doc:"file to write the process ID to"`
	Server                *bool             `hcl:"server" doc:"run as a server"`
	Bootstrap             *bool             `hcl:"bootstrap" doc:"let this server alone start the cluster"`
	BootstrapExpect       *int              `hcl:"bootstrap_expect" doc:"number of servers that start the cluster together"`
	ReadReplica           *bool             `hcl:"read_replica,non_voting_server" doc:"server without a vote"`
	ServerRejoinAgeMax    *time.Duration    `hcl:"server_rejoin_age_max" doc:"longest absence after which a server may come back"`
	RaftProtocol          *int              `hcl:"raft_protocol" doc:"version of the raft protocol; 3 is the only one"`
	Protocol              *int              `hcl:"protocol" doc:"version of the gossip protocol; 2 or 3"`
	RaftSnapshotThreshold *int              `hcl:"raft_snapshot_threshold" reload:"yes" doc:"log entries after which a snapshot is taken"`
	RaftSnapshotInterval  *time.Duration    `hcl:"raft_snapshot_interval" reload:"yes" doc:"how often the need for a snapshot is looked at"`
	RaftTrailingLogs      *int              `hcl:"raft_trailing_logs" reload:"yes" doc:"log entries kept behind a snapshot"`
	RaftLogStore          raftLogStoreFile  `hcl:"raft_logstore" later:"never" doc:"no effect: there is one log store, and it checks what it reads"`
	Performance           performanceFile   `hcl:"performance" doc:"timing of raft and of leaving"`
	Limits                limitsFile        `hcl:"limits" doc:"limits on requests and connections"`

	// Addresses.
	BindAddr          *string        `hcl:"bind_addr" doc:"address for traffic between agents; may be a go-sockaddr template"`
	ClientAddr        *string        `hcl:"client_addr" doc:"addresses for DNS and HTTP, parted by blanks; may be a go-sockaddr template"`
	AdvertiseAddr     *string        `hcl:"advertise_addr" doc:"address that other agents of the datacenter reach this one by"`
	AdvertiseAddrIPv4 *string        `hcl:"advertise_addr_ipv4" doc:"the same, IPv4"`
	AdvertiseAddrIPv6 *string        `hcl:"advertise_addr_ipv6" doc:"the same, IPv6"`
	AdvertiseWAN      *string        `hcl:"advertise_addr_wan" doc:"address that servers of other datacenters reach this one by"`
	AdvertiseWANIPv4  *string        `hcl:"advertise_addr_wan_ipv4" doc:"the same, IPv4"`
	AdvertiseWANIPv6  *string        `hcl:"advertise_addr_wan_ipv6" doc:"the same, IPv6"`
	SerfLAN           *string        `hcl:"serf_lan" doc:"address for gossip inside the datacenter; default is bind_addr"`
	SerfWAN           *string        `hcl:"serf_wan" doc:"address for gossip between datacenters; default is bind_addr"`
	SerfLANCIDRs      []string       `hcl:"serf_lan_allowed_cidrs" doc:"networks that may gossip inside the datacenter"`
	SerfWANCIDRs      []string       `hcl:"serf_wan_allowed_cidrs" doc:"networks that may gossip between datacenters"`
	Addresses         addressesFile  `hcl:"addresses" doc:"addresses of single services, instead of client_addr"`
	Ports             portsFile      `hcl:"ports" doc:"port numbers; -1 turns a service off"`
	UnixSockets       unixSocketFile `hcl:"unix_sockets" doc:"owner and mode of unix sockets"`
	TranslateWANAddrs *bool          `hcl:"translate_wan_addrs" doc:"give WAN addresses to clients of other datacenters"`

	// DNS.
	DNS                dnsFile        `hcl:"dns_config" reload:"yes" doc:"how DNS answers"`
	Recursors          []string       `hcl:"recursors" reload:"yes" doc:"DNS servers asked for names outside of the domain: IP addresses, with a port if it is not 53"`
	DiscoveryMaxStale  *time.Duration `hcl:"discovery_max_stale" reload:"yes" doc:"age up to which discovery over HTTP may be answered by any server"`
	UseStreaming       *bool          `hcl:"use_streaming_backend" doc:"no effect: views are always pushed"`
	DefaultQueryTime   *time.Duration `hcl:"default_query_time" doc:"how long a blocking query waits if it names no time"`
	MaxQueryTime       *time.Duration `hcl:"max_query_time" doc:"how long a blocking query may wait"`
	EnableCentralConf  *bool          `hcl:"enable_central_service_config" doc:"no effect: always on"`
	DisableCoordinates *bool          `hcl:"disable_coordinates" doc:"do not send network coordinates"`

	// Services and checks.
	Services                []definition.ServiceBlock `hcl:"services,service" reload:"yes" doc:"services of this machine"`
	Checks                  []definition.CheckBlock   `hcl:"checks,check" reload:"yes" doc:"checks of this node or of a service (service_id)"`
	Watches                 []definition.WatchBlock   `hcl:"watches,watch" reload:"yes" doc:"queries whose change starts a handler"`
	EnableScriptChecks      *bool                     `hcl:"enable_script_checks" doc:"allow script checks, also such as come over HTTP: a remote shell without ACLs"`
	EnableLocalScriptChecks *bool                     `hcl:"enable_local_script_checks" doc:"allow script checks of configuration files only"`
	EnableAgentTLSForChecks *bool                     `hcl:"enable_agent_tls_for_checks" doc:"checks over TLS present the certificate of tls.internal_rpc (or tls.defaults) and trust its authorities"`
	CheckUpdateInterval     *time.Duration            `hcl:"check_update_interval" reload:"yes" doc:"how often a changed output with an unchanged state is sent to the servers"`
	CheckOutputMaxSize      *int                      `hcl:"check_output_max_size" reload:"yes" doc:"bytes of check output that are kept"`
	DiscardCheckOutput      *bool                     `hcl:"discard_check_output" reload:"yes" doc:"keep no check output at all"`

	// Joining and leaving.
	RetryJoin            []string                  `hcl:"retry_join" doc:"agents to join, tried until one answers"`
	RetryInterval        *time.Duration            `hcl:"retry_interval" doc:"pause between attempts to join"`
	RetryMax             *int                      `hcl:"retry_max" doc:"attempts to join before giving up; 0 never gives up"`
	RetryJoinWAN         []string                  `hcl:"retry_join_wan" doc:"servers of other datacenters to join, tried until one answers"`
	RetryIntervalWAN     *time.Duration            `hcl:"retry_interval_wan" doc:"pause between attempts to join over the WAN"`
	RetryMaxWAN          *int                      `hcl:"retry_max_wan" doc:"attempts to join over the WAN before giving up; 0 never gives up"`
	RejoinAfterLeave     *bool                     `hcl:"rejoin_after_leave" doc:"join the former cluster again after a leave"`
	LeaveOnTerm          *bool                     `hcl:"leave_on_terminate" doc:"leave gracefully on SIGTERM; default is true for clients, false for servers"`
	SkipLeaveOnInt       *bool                     `hcl:"skip_leave_on_interrupt" doc:"do not leave on SIGINT; default is false for clients, true for servers"`
	ReconnectTimeout     *time.Duration            `hcl:"reconnect_timeout" doc:"how long a failed node is remembered"`
	ReconnectTimeoutWAN  *time.Duration            `hcl:"reconnect_timeout_wan" doc:"how long a failed server of another datacenter is remembered"`
	AdvertiseReconnect   *time.Duration            `hcl:"advertise_reconnect_timeout" doc:"client: how long the others remember this node after it failed, instead of their reconnect_timeout"`
	EncryptKey           *string                   `hcl:"encrypt" doc:"gossip key, base64 of 16, 24 or 32 bytes"`
	EncryptVerifyIn      *bool                     `hcl:"encrypt_verify_incoming" doc:"refuse unencrypted gossip"`
	EncryptVerifyOut     *bool                     `hcl:"encrypt_verify_outgoing" doc:"send encrypted gossip only"`
	DisableKeyringFile   *bool                     `hcl:"disable_keyring_file" doc:"keep gossip keys in memory only"`
	GossipLAN            gossipFile                `hcl:"gossip_lan" doc:"timing of gossip inside the datacenter"`
	GossipWAN            gossipFile                `hcl:"gossip_wan" doc:"timing of gossip between datacenters"`
	Federation           federationFile            `hcl:"federation" doc:"names of other datacenters kept here"`
	Autopilot            autopilotFile             `hcl:"autopilot" doc:"first settings of dead server cleanup"`
	PrimaryGateways      []string                  `hcl:"primary_gateways" later:"mesh" doc:"mesh gateways of the primary datacenter"`
	PrimaryGatewaysEvery *time.Duration            `hcl:"primary_gateways_interval" later:"mesh" doc:"pause between attempts to reach them"`
	Segment              *string                   `hcl:"segment" later:"enterprise" doc:"network segment of this agent"`
	Segments             []segmentFile             `hcl:"segments" later:"enterprise" doc:"network segments of a server"`
	Partition            *string                   `hcl:"partition" later:"enterprise" doc:"admin partition of this agent"`
	Locality             *definition.LocalityBlock `hcl:"locality" later:"mesh" doc:"region and zone of this agent"`
	Cache                cacheFile                 `hcl:"cache" later:"never" doc:"no effect: answers come from views"`
	RPC                  rpcFile                   `hcl:"rpc" doc:"no effect: streaming is always on"`
	SessionTTLMin        *time.Duration            `hcl:"session_ttl_min" doc:"server: shortest time to live of new sessions; 1s or more"`
	DisableRemoteExec    *bool                     `hcl:"disable_remote_exec" doc:"refuse consul exec on this node"`
	Telemetry            telemetryFile             `hcl:"telemetry" doc:"metrics"`
	HTTP                 httpFile                  `hcl:"http_config" doc:"the HTTP interface"`
	UI                   uiFile                    `hcl:"ui_config" doc:"the web interface"`
	LogLevel             *string                   `hcl:"log_level" reload:"yes" doc:"TRACE, DEBUG, INFO, WARN or ERROR"`
	LogJSON              *bool                     `hcl:"log_json" doc:"log in JSON"`
	LogFile              *string                   `hcl:"log_file" doc:"file (or directory, with a slash at the end) to log to as well"`
	LogRotateDuration    *time.Duration            `hcl:"log_rotate_duration" doc:"age at which the log file is changed"`
	LogRotateBytes       *int                      `hcl:"log_rotate_bytes" doc:"size at which the log file is changed; 0 is no limit"`
	LogRotateMaxFiles    *int                      `hcl:"log_rotate_max_files" doc:"old log files kept; 0 keeps all, -1 none"`
	EnableSyslog         *bool                     `hcl:"enable_syslog" doc:"log to syslog as well"`
	SyslogFacility       *string                   `hcl:"syslog_facility" doc:"facility for syslog"`
	EnableDebug          *bool                     `hcl:"enable_debug" doc:"offer profiles under /debug/pprof"`
	DisableUpdateCheck   *bool                     `hcl:"disable_update_check" doc:"no effect: nothing is ever asked"`
	DisableAnonSignature *bool                     `hcl:"disable_anonymous_signature" doc:"no effect: nothing is ever asked"`
	DisableCharFilter    *bool                     `hcl:"disable_http_unprintable_char_filter" doc:"take unprintable characters in HTTP paths"`
	ACL                  aclFile                   `hcl:"acl" doc:"access control"`
	TLS                  tlsFile                   `hcl:"tls" doc:"certificates, keys and what is verified"`
	ServerName           *string                   `hcl:"server_name" doc:"name that checks with enable_agent_tls_for_checks expect in certificates, unless they name another; default is the host that they ask"`
	AutoEncrypt          autoEncryptFile           `hcl:"auto_encrypt" later:"mesh" doc:"certificates for clients, given out by servers"`
	AutoConfig           autoConfigFile            `hcl:"auto_config" later:"mesh" doc:"first configuration for clients, given out by servers"`
	AutoReloadConfig     *bool                     `hcl:"auto_reload_config" doc:"reload when a configuration file changes"`
	Connect              connectFile               `hcl:"connect" later:"mesh" doc:"the service mesh"`
	ConfigEntries        configEntryFile           `hcl:"config_entries" doc:"config entries to create on first start"`
	DefaultIntention     *string                   `hcl:"default_intention_policy" later:"mesh" doc:"allow or deny where no intention fits"`
	Peering              peeringFile               `hcl:"peering" later:"mesh" doc:"cluster peering"`
	XDS                  xdsFile                   `hcl:"xds" later:"mesh" doc:"streams to proxies"`
	Cloud                cloudFile                 `hcl:"cloud" later:"never" doc:"the reference vendor's hosted service"`
	LicensePath          *string                   `hcl:"license_path" later:"enterprise" doc:"license file of the reference"`
	Audit                auditFile                 `hcl:"audit" doc:"log of who did what over HTTP"`
	Reporting            map[string]any            `hcl:"reporting" later:"enterprise" doc:"license reports"`
	Experiments          []string                  `hcl:"experiments" later:"never" doc:"experiments of the reference"`
}

type performanceFile struct {
	LeaveDrainTime       *time.Duration `hcl:"leave_drain_time" doc:"how long a leaving agent still answers"`
	RaftMultiplier       *int           `hcl:"raft_multiplier" doc:"scale of raft's timing, 1 (fast) to 10"`
	RPCHoldTimeout       *time.Duration `hcl:"rpc_hold_timeout" doc:"how long a request waits for a leader"`
	GRPCKeepaliveEvery   *time.Duration `hcl:"grpc_keepalive_interval" later:"never" doc:"no effect: connections in use are watched more closely than this"`
	GRPCKeepaliveTimeout *time.Duration `hcl:"grpc_keepalive_timeout" later:"never" doc:"no effect, as grpc_keepalive_interval"`
}

type limitsFile struct {
	HTTPMaxConnsPerClient *int              `hcl:"http_max_conns_per_client" reload:"yes" doc:"HTTP connections of one address; 0 is no limit"`
	HTTPSHandshakeTimeout *time.Duration    `hcl:"https_handshake_timeout" doc:"how long a TLS handshake of HTTPS may take"`
	RPCHandshakeTimeout   *time.Duration    `hcl:"rpc_handshake_timeout" doc:"how long the first bytes of an RPC connection may take"`
	RPCClientTimeout      *time.Duration    `hcl:"rpc_client_timeout" reload:"yes" doc:"how long a client waits for an answer that does not block"`
	RPCMaxConnsPerClient  *int              `hcl:"rpc_max_conns_per_client" reload:"yes" doc:"RPC connections of one address; 0 is no limit"`
	RPCRate               *float64          `hcl:"rpc_rate" reload:"yes" doc:"requests a second that this agent may send to servers; -1 is no limit"`
	RPCMaxBurst           *int              `hcl:"rpc_max_burst" reload:"yes" doc:"requests above rpc_rate in one moment"`
	KVMaxValueSize        *int              `hcl:"kv_max_value_size" reload:"yes" doc:"bytes of one key's value"`
	TxnMaxReqLen          *int              `hcl:"txn_max_req_len" reload:"yes" doc:"bytes of one transaction"`
	RequestLimits         requestLimitsFile `hcl:"request_limits" reload:"yes" doc:"limits of a server on requests, in all and of each source"`
}

type addressesFile struct {
	DNS     *string `hcl:"dns" doc:"addresses of DNS"`
	HTTP    *string `hcl:"http" doc:"addresses of HTTP; unix:///path is a socket"`
	HTTPS   *string `hcl:"https" doc:"addresses of HTTPS"`
	GRPC    *string `hcl:"grpc" later:"mesh" doc:"addresses of gRPC"`
	GRPCTLS *string `hcl:"grpc_tls" later:"mesh" doc:"addresses of gRPC with TLS"`
	RPC     *string `hcl:"rpc" later:"never" doc:"the command line's own protocol of old releases"`
}

type portsFile struct {
	DNS            *int `hcl:"dns" doc:"DNS, UDP and TCP"`
	DNSTLS         *int `hcl:"dns_tls" doc:"DNS over TLS; off unless it is set (853 is the port that clients know)"`
	HTTP           *int `hcl:"http" doc:"HTTP"`
	HTTPS          *int `hcl:"https" doc:"HTTPS"`
	GRPC           *int `hcl:"grpc" doc:"shown, not served: there are no proxies"`
	GRPCTLS        *int `hcl:"grpc_tls" doc:"shown, not served: there are no proxies"`
	SerfLAN        *int `hcl:"serf_lan" doc:"gossip inside the datacenter"`
	SerfWAN        *int `hcl:"serf_wan" doc:"gossip between datacenters; -1 turns it off"`
	Server         *int `hcl:"server" doc:"calls between agents and raft"`
	RPC            *int `hcl:"rpc" later:"never" doc:"the command line's own protocol of old releases"`
	ProxyMinPort   *int `hcl:"proxy_min_port" later:"never" doc:"managed proxies of old releases"`
	ProxyMaxPort   *int `hcl:"proxy_max_port" later:"never" doc:"managed proxies of old releases"`
	SidecarMinPort *int `hcl:"sidecar_min_port" later:"mesh" doc:"first port for sidecars"`
	SidecarMaxPort *int `hcl:"sidecar_max_port" later:"mesh" doc:"last port for sidecars"`
	ExposeMinPort  *int `hcl:"expose_min_port" later:"mesh" doc:"first port for exposed checks"`
	ExposeMaxPort  *int `hcl:"expose_max_port" later:"mesh" doc:"last port for exposed checks"`
}

type unixSocketFile struct {
	User  *string `hcl:"user" doc:"owner, by name or number"`
	Group *string `hcl:"group" doc:"group, by number"`
	Mode  *string `hcl:"mode" doc:"mode in octal, such as 0700"`
}

type dnsFile struct {
	AllowStale         *bool                    `hcl:"allow_stale" doc:"answer from any server's state"`
	ARecordLimit       *int                     `hcl:"a_record_limit" doc:"address records in an answer; 0 is no limit"`
	DisableCompression *bool                    `hcl:"disable_compression" doc:"send names uncompressed"`
	EnableTruncate     *bool                    `hcl:"enable_truncate" doc:"set the TC bit when an answer over UDP was cut"`
	MaxStale           *time.Duration           `hcl:"max_stale" doc:"age up to which a stale answer is given while servers can be reached"`
	NodeTTL            *time.Duration           `hcl:"node_ttl" doc:"TTL of node answers"`
	PTRTTL             *time.Duration           `hcl:"ptr_ttl" doc:"TTL of the names of addresses"`
	OnlyPassing        *bool                    `hcl:"only_passing" doc:"leave out services in the state warning"`
	RecursorTimeout    *time.Duration           `hcl:"recursor_timeout" doc:"how long one recursor is waited for"`
	RecursorStrategy   *string                  `hcl:"recursor_strategy" doc:"sequential or random"`
	RecursionAllow     []string                 `hcl:"recursion_allow" doc:"networks that may ask for names outside of the domain; default is private and loopback ones"`
	ServiceTTL         map[string]time.Duration `hcl:"service_ttl" doc:"TTL of service answers by name, prefix with *, or *"`
	MaxUDPSize         *int                     `hcl:"max_udp_size" doc:"bytes of an answer over UDP to an asker without a DNS cookie, whatever it takes; 0 is no limit"`
	ResponseRateLimit  *int                     `hcl:"response_rate_limit" doc:"answers a second of one name to one network over UDP, to askers without a DNS cookie; 0 is no limit"`
	UnknownNameLimit   *int                     `hcl:"unknown_name_limit" doc:"different names that do not exist that one network may ask for in a second; more are refused; 0 is no limit"`
	LimitExempt        []string                 `hcl:"limit_exempt" doc:"networks for which max_udp_size, response_rate_limit and unknown_name_limit do not count; default is loopback"`
	VersionBind        *string                  `hcl:"version_bind" doc:"what is told of the version (version.bind of class CH); refused if empty"`
	HostnameBind       *string                  `hcl:"hostname_bind" doc:"what is told of the machine (hostname.bind and id.server of class CH); refused if empty"`
	Tap                dnstapFile               `hcl:"dnstap" doc:"a stream of all questions and answers; off unless socket is set"`
	QueryLog           queryLogFile             `hcl:"query_log" doc:"a log of some questions; off unless path or sample is set"`
	UDPAnswerLimit     *int                     `hcl:"udp_answer_limit" doc:"records in an answer over UDP without EDNS"`
	NodeMetaTXT        *bool                    `hcl:"enable_additional_node_meta_txt" doc:"add node metadata as TXT records"`
	Sort               *string                  `hcl:"sort" doc:"order of a service's instances: random, or near (those with the least round-trip time first, in the own datacenter)"`
	SOA                struct {
		Refresh *int `hcl:"refresh" doc:"seconds"`
		Retry   *int `hcl:"retry" doc:"seconds"`
		Expire  *int `hcl:"expire" doc:"seconds"`
		MinTTL  *int `hcl:"min_ttl" doc:"seconds that a resolver may remember that a name does not exist"`
	} `hcl:"soa" doc:"the SOA record"`
	Transfer     transferFile   `hcl:"transfer" doc:"who gets the zone whole, off unless allow or key is set; servers only"`
	UseCache     *bool          `hcl:"use_cache" doc:"no effect: DNS always answers from memory"`
	CacheMaxAge  *time.Duration `hcl:"cache_max_age" doc:"no effect, see use_cache"`
	PreferNSpace *bool          `hcl:"prefer_namespace" later:"enterprise" doc:"read a two-part name as a namespace"`
}

type dnstapFile struct {
	Socket *string `hcl:"socket" doc:"path of the Unix socket that a dnstap receiver listens on"`
	Sample *int    `hcl:"sample" doc:"one exchange of so many; default is all"`
}

type queryLogFile struct {
	Path     *string `hcl:"path" doc:"file of JSON lines; without it they go to the agent's log"`
	Sample   *int    `hcl:"sample" doc:"one question of so many; default is 100 if path is set"`
	MaxBytes *int    `hcl:"rotate_bytes" doc:"size at which another file is begun; default is 100 MB, 0 is none"`
	MaxFiles *int    `hcl:"rotate_max_files" doc:"old files that are kept; default is 5, 0 is all"`
}

type transferFile struct {
	Allow     []string                   `hcl:"allow" doc:"networks that may have the zone, also without a key"`
	Notify    []string                   `hcl:"notify" doc:"secondaries that are told of changes: IP addresses, with a port if it is not 53"`
	NotifyKey *string                    `hcl:"notify_key" doc:"key that signs what they are told; need not be said if there is one"`
	Keys      map[string]transferKeyFile `hcl:"key" doc:"TSIG keys by name; who signs with one of them may have the zone"`
}

type transferKeyFile struct {
	Algorithm *string `hcl:"algorithm" doc:"hmac-sha256, hmac-sha384 or hmac-sha512"`
	Secret    *string `hcl:"secret" doc:"the secret that both sides have, base64"`
}

type httpFile struct {
	AllowedHosts       []string          `hcl:"allowed_hosts" reload:"yes" doc:"further names that requests may come under: consul.example.com, *.example.com, or * for all"`
	AllowWriteHTTPFrom []string          `hcl:"allow_write_http_from" reload:"yes" doc:"networks that may write over HTTP"`
	BlockEndpoints     []string          `hcl:"block_endpoints" reload:"yes" doc:"path prefixes answered with 403"`
	ResponseHeaders    map[string]string `hcl:"response_headers" reload:"yes" doc:"headers added to every response"`
	UseCache           *bool             `hcl:"use_cache" reload:"yes" doc:"let ?cached be answered from the agent's memory"`
	MaxHeaderBytes     *int              `hcl:"max_header_bytes" doc:"bytes of request headers"`
}

type telemetryFile struct {
	CirconusAPIApp         *string        `hcl:"circonus_api_app" later:"never" doc:"Circonus"`
	CirconusAPIToken       *string        `hcl:"circonus_api_token" later:"never" doc:"Circonus"`
	CirconusAPIURL         *string        `hcl:"circonus_api_url" later:"never" doc:"Circonus"`
	CirconusBrokerID       *string        `hcl:"circonus_broker_id" later:"never" doc:"Circonus"`
	CirconusBrokerTag      *string        `hcl:"circonus_broker_select_tag" later:"never" doc:"Circonus"`
	CirconusDisplayName    *string        `hcl:"circonus_check_display_name" later:"never" doc:"Circonus"`
	CirconusForceActivate  *string        `hcl:"circonus_check_force_metric_activation" later:"never" doc:"Circonus"`
	CirconusCheckID        *string        `hcl:"circonus_check_id" later:"never" doc:"Circonus"`
	CirconusInstanceID     *string        `hcl:"circonus_check_instance_id" later:"never" doc:"Circonus"`
	CirconusSearchTag      *string        `hcl:"circonus_check_search_tag" later:"never" doc:"Circonus"`
	CirconusCheckTags      *string        `hcl:"circonus_check_tags" later:"never" doc:"Circonus"`
	CirconusSubmissionURL  *string        `hcl:"circonus_submission_url" later:"never" doc:"Circonus"`
	CirconusSubmitInterval *string        `hcl:"circonus_submission_interval" later:"never" doc:"Circonus"`
	DisableHostname        *bool          `hcl:"disable_hostname" doc:"leave the host name out of the names of gauges that statsd and statsite get"`
	DisablePerTenancyUsage *bool          `hcl:"disable_per_tenancy_usage_metrics" later:"enterprise" doc:"no usage by tenant"`
	DogstatsdAddr          *string        `hcl:"dogstatsd_addr" doc:"host:port of a DogStatsD that is told over UDP every ten seconds"`
	DogstatsdTags          []string       `hcl:"dogstatsd_tags" doc:"tags of all that DogStatsD gets"`
	EnableHostMetrics      *bool          `hcl:"enable_host_metrics" doc:"report CPU, memory and disk of the machine"`
	FilterDefault          *bool          `hcl:"filter_default" reload:"yes" doc:"whether metrics that no filter names are kept"`
	PrefixFilter           []string       `hcl:"prefix_filter" reload:"yes" doc:"prefixes of metrics to keep (+) or drop (-)"`
	MetricsPrefix          *string        `hcl:"metrics_prefix" doc:"first part of every metric's name"`
	PrometheusRetention    *time.Duration `hcl:"prometheus_retention_time" doc:"how long Prometheus is shown a gauge that is set no more; 0 turns its text off"`
	RetryFailedConfig      *bool          `hcl:"retry_failed_connection" doc:"start, and go on trying, if a sink cannot be reached"`
	StatsdAddr             *string        `hcl:"statsd_address,statsd_addr" doc:"host:port of a statsd that is told over UDP every ten seconds"`
	StatsiteAddr           *string        `hcl:"statsite_address,statsite_addr" doc:"host:port of a statsite that is told over TCP every ten seconds"`
}
