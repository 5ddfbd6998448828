package configs

import "time"

// The blocks of parts that are not built yet, or never will be. They are
// decoded as strictly as all others, so that a mistake in them shows today.

type raftLogStoreFile struct {
	Backend         *string `hcl:"backend" doc:"name of the log store"`
	DisableLogCache *bool   `hcl:"disable_log_cache" doc:"no log entries in memory"`
	Verification    struct {
		Enabled  *bool          `hcl:"enabled" doc:"verify what was written"`
		Interval *time.Duration `hcl:"interval" doc:"pause between verifications"`
	} `hcl:"verification" doc:"checks of the log"`
	BoltDB struct {
		NoFreelistSync *bool `hcl:"no_freelist_sync" doc:"do not write the list of free pages"`
	} `hcl:"boltdb" doc:"tuning of BoltDB"`
	WAL struct {
		SegmentSizeMB *int `hcl:"segment_size_mb" doc:"size of one log file"`
	} `hcl:"wal" doc:"tuning of the write-ahead log"`
}

type gossipFile struct {
	GossipNodes    *int           `hcl:"gossip_nodes" doc:"nodes told in one round"`
	GossipInterval *time.Duration `hcl:"gossip_interval" doc:"pause between rounds"`
	ProbeInterval  *time.Duration `hcl:"probe_interval" doc:"pause between probes"`
	ProbeTimeout   *time.Duration `hcl:"probe_timeout" doc:"how long a probe may take"`
	SuspicionMult  *int           `hcl:"suspicion_mult" doc:"scale of the time before a suspect is declared dead"`
	RetransmitMult *int           `hcl:"retransmit_mult" doc:"scale of how often news are repeated"`
}

type federationFile struct {
	Prefetch []string `hcl:"prefetch" doc:"services of other datacenters that are followed before anybody asks: web, db-* or web.service.dc2"`
}

type autopilotFile struct {
	CleanupDeadServers      *bool          `hcl:"cleanup_dead_servers" doc:"remove dead servers when others take their place"`
	LastContactThreshold    *time.Duration `hcl:"last_contact_threshold" doc:"silence after which a server counts as unhealthy"`
	MaxTrailingLogs         *int           `hcl:"max_trailing_logs" doc:"entries a healthy server may be behind"`
	MinQuorum               *int           `hcl:"min_quorum" doc:"servers that are never removed"`
	ServerStabilizationTime *time.Duration `hcl:"server_stabilization_time" doc:"how long a new server must be healthy before it votes"`
	RedundancyZoneTag       *string        `hcl:"redundancy_zone_tag" later:"enterprise" doc:"node metadata key that names a zone"`
	DisableUpgradeMigration *bool          `hcl:"disable_upgrade_migration" later:"enterprise" doc:"no staged upgrade"`
	UpgradeVersionTag       *string        `hcl:"upgrade_version_tag" later:"enterprise" doc:"node metadata key that names a version"`
}

type segmentFile struct {
	Name        *string `hcl:"name" doc:"name"`
	Bind        *string `hcl:"bind" doc:"address"`
	Port        *int    `hcl:"port" doc:"port"`
	Advertise   *string `hcl:"advertise" doc:"address for others"`
	RPCListener *bool   `hcl:"rpc_listener" doc:"own listener for calls"`
}

type cacheFile struct {
	EntryFetchMaxBurst *int     `hcl:"entry_fetch_max_burst" doc:"fetches of one entry in a moment"`
	EntryFetchRate     *float64 `hcl:"entry_fetch_rate" doc:"fetches of one entry a second"`
}

type rpcFile struct {
	EnableStreaming *bool `hcl:"enable_streaming" doc:"no effect: always on"`
}

type aclFile struct {
	Enabled                *bool          `hcl:"enabled" doc:"turn access control on"`
	DefaultPolicy          *string        `hcl:"default_policy" doc:"allow or deny where no rule fits"`
	DownPolicy             *string        `hcl:"down_policy" doc:"allow, deny, extend-cache or async-cache while servers cannot be reached"`
	PolicyTTL              *time.Duration `hcl:"policy_ttl" doc:"how long a policy is remembered"`
	RoleTTL                *time.Duration `hcl:"role_ttl" doc:"how long a role is remembered"`
	TokenTTL               *time.Duration `hcl:"token_ttl" doc:"how long a token is remembered"`
	EnableKeyListPolicy    *bool          `hcl:"enable_key_list_policy" doc:"ask for the list permission when keys are listed"`
	EnableTokenPersistence *bool          `hcl:"enable_token_persistence" doc:"keep tokens set over HTTP across restarts"`
	EnableTokenReplication *bool          `hcl:"enable_token_replication" doc:"copy tokens from the primary datacenter"`
	MSPDisableBootstrap    *bool          `hcl:"msp_disable_bootstrap" later:"enterprise" doc:"no bootstrap"`
	Tokens                 struct {
		InitialManagement *string           `hcl:"initial_management,master" doc:"token with all rights, made when the cluster starts"`
		AgentRecovery     *string           `hcl:"agent_recovery,agent_master" doc:"token for this agent when servers cannot be reached"`
		Agent             *string           `hcl:"agent" doc:"token of the agent's own requests"`
		Default           *string           `hcl:"default" doc:"token of requests that bring none"`
		DNS               *string           `hcl:"dns" doc:"token of DNS"`
		Replication       *string           `hcl:"replication" doc:"token for copying from the primary datacenter"`
		ConfigFileService *string           `hcl:"config_file_service_registration" doc:"token for services of configuration files"`
		ManagedProvider   []managedProvider `hcl:"managed_service_provider" later:"enterprise" doc:"tokens of a provider"`
	} `hcl:"tokens" reload:"yes" doc:"tokens of this agent"`
}

type managedProvider struct {
	AccessorID *string `hcl:"accessor_id" doc:"accessor"`
	SecretID   *string `hcl:"secret_id" doc:"secret"`
}

type tlsFile struct {
	Defaults    tlsPartFile `hcl:"defaults" reload:"yes" doc:"for all of the following"`
	InternalRPC tlsPartFile `hcl:"internal_rpc" reload:"yes" doc:"calls between agents"`
	HTTPS       tlsPartFile `hcl:"https" reload:"yes" doc:"HTTPS"`
	GRPC        tlsPartFile `hcl:"grpc" later:"mesh" reload:"yes" doc:"gRPC"`

	EnableAgentTLSForChecks *bool   `hcl:"enable_agent_tls_for_checks" doc:"as the key of the same name outside of tls"`
	ServerName              *string `hcl:"server_name" doc:"as the key of the same name outside of tls"`
}

type tlsPartFile struct {
	CAFile               *string `hcl:"ca_file" doc:"file with authorities"`
	CAPath               *string `hcl:"ca_path" doc:"directory with authorities"`
	CertFile             *string `hcl:"cert_file" doc:"certificate"`
	KeyFile              *string `hcl:"key_file" doc:"key of the certificate"`
	TLSMinVersion        *string `hcl:"tls_min_version" doc:"TLSv1_0 to TLSv1_3"`
	TLSCipherSuites      *string `hcl:"tls_cipher_suites" doc:"suites, parted by commas"`
	VerifyIncoming       *bool   `hcl:"verify_incoming" doc:"ask clients for a certificate"`
	VerifyOutgoing       *bool   `hcl:"verify_outgoing" doc:"use and verify TLS towards others"`
	VerifyServerHostname *bool   `hcl:"verify_server_hostname" doc:"servers must be named server.DATACENTER.DOMAIN"`
	UseAutoCert          *bool   `hcl:"use_auto_cert" doc:"use the certificate of auto_encrypt"`
}

type autoEncryptFile struct {
	TLS      *bool    `hcl:"tls" doc:"client: ask for a certificate"`
	DNSSAN   []string `hcl:"dns_san" doc:"names for the certificate"`
	IPSAN    []string `hcl:"ip_san" doc:"addresses for the certificate"`
	AllowTLS *bool    `hcl:"allow_tls" doc:"server: give certificates out"`
}

type autoConfigFile struct {
	Enabled         *bool          `hcl:"enabled" doc:"client: ask for a configuration"`
	IntroToken      *string        `hcl:"intro_token" doc:"JWT to introduce oneself with"`
	IntroTokenFile  *string        `hcl:"intro_token_file" doc:"file with it"`
	ServerAddresses []string       `hcl:"server_addresses" doc:"servers to ask"`
	DNSSANs         []string       `hcl:"dns_sans" doc:"names for the certificate"`
	IPSANs          []string       `hcl:"ip_sans" doc:"addresses for the certificate"`
	Authorization   map[string]any `hcl:"authorization" doc:"server: who may ask"`
}

type connectFile struct {
	Enabled               *bool          `hcl:"enabled" doc:"turn the mesh on"`
	CAProvider            *string        `hcl:"ca_provider" doc:"kind of authority"`
	CAConfig              map[string]any `hcl:"ca_config" doc:"settings of the authority"`
	MeshGatewayFederation *bool          `hcl:"enable_mesh_gateway_wan_federation" doc:"reach other datacenters through gateways"`
	ServerlessPlugin      *bool          `hcl:"enable_serverless_plugin" later:"never" doc:"functions in the mesh"`
	Proxy                 map[string]any `hcl:"proxy" later:"never" doc:"managed proxies of old releases"`
	ProxyDefaults         map[string]any `hcl:"proxy_defaults" later:"never" doc:"managed proxies of old releases"`
}

type configEntryFile struct {
	Bootstrap []map[string]any `hcl:"bootstrap" doc:"the entries"`
}

type peeringFile struct {
	Enabled              *bool `hcl:"enabled" doc:"turn peering on"`
	TestAllowPeerRegistr *bool `hcl:"test_allow_peer_registrations" doc:"for tests"`
}

type xdsFile struct {
	UpdateMaxPerSecond *float64 `hcl:"update_max_per_second" doc:"pushes a second"`
}

type cloudFile struct {
	ResourceID   *string `hcl:"resource_id" doc:"resource"`
	ClientID     *string `hcl:"client_id" doc:"client"`
	ClientSecret *string `hcl:"client_secret" doc:"secret"`
	Hostname     *string `hcl:"hostname" doc:"host"`
	AuthURL      *string `hcl:"auth_url" doc:"authority"`
	ScadaAddress *string `hcl:"scada_address" doc:"address"`
	NodeID       *string `hcl:"node_id" doc:"node"`
	NodeName     *string `hcl:"node_name" doc:"node name"`
}
