package configs

import (
	"net/netip"
	"time"

	"consul.internal/configentry"
	"consul.internal/configs/definition"
	"consul.internal/dnsserver"
	"consul.internal/dnsserver/observe"
	"consul.internal/dnsserver/transfer"
	"consul.internal/dnsserver/zone"
	"consul.internal/httpapi/charts"
)

// Settings is the whole configuration of one agent, checked and resolved. Its
// blocks are plain records; package daemon fills each part's own Config from them.
type Settings struct {
	Dev         bool
	Node        Node
	Server      Server
	Raft        Raft
	Paths       Paths
	Addresses   Addresses
	Ports       Ports
	DNS         DNS
	HTTP        HTTP
	Limits      Limits
	Audit       Audit
	Queries     Queries
	Checks      Checks
	Leaving     Leaving
	Joining     Joining
	Gossip      Gossip
	Federation  Federation
	Autopilot   Autopilot
	TLS         TLS
	ACL         ACL
	Log         Log
	Telemetry   Telemetry
	Definitions definition.Set
	RemoteExec  bool // run what consul exec asks for

	effective file // what Diff compares
}

// Node is who this agent is.
type Node struct {
	ID                string // "" = take the one in the data directory, or make one
	Name              string
	Meta              map[string]string
	Datacenter        string
	PrimaryDatacenter string
	DisableHostID     bool
	TranslateWANAddrs bool
}

// Server is the part that only servers have.
type Server struct {
	Enabled         bool
	Bootstrap       bool          // also set for bootstrap_expect = 1
	BootstrapExpect int           // 0 or 2 and more
	ReadReplica     bool          // has no vote
	RejoinAgeMax    time.Duration // longest absence after which it may come back
	SessionTTLMin   time.Duration // shortest TTL of new sessions
	// ConfigEntries are written where they are not there, in the primary datacenter.
	ConfigEntries []*configentry.Entry
}

// Raft is the replicated log's tuning.
type Raft struct {
	Protocol          int
	Multiplier        int
	SnapshotThreshold int // entries
	SnapshotInterval  time.Duration
	TrailingLogs      int // entries
	RPCHoldTimeout    time.Duration
}

// Paths are files and directories.
type Paths struct {
	DataDir    string // "" only with Dev
	PIDFile    string
	Config     []string // files and directories that the configuration came from
	AutoReload bool     // reload when one of them changes
}

// Addresses are all addresses with templates expanded.
type Addresses struct {
	Bind             netip.Addr
	Client           []netip.Addr
	AdvertiseLAN     netip.Addr
	AdvertiseLANIPv4 netip.Addr // invalid = none
	AdvertiseLANIPv6 netip.Addr
	AdvertiseWAN     netip.Addr
	AdvertiseWANIPv4 netip.Addr
	AdvertiseWANIPv6 netip.Addr
	SerfLAN          netip.AddrPort // bind address of gossip
	SerfWAN          netip.AddrPort // port 0 = off
	DNS              []netip.AddrPort
	HTTP             []netip.AddrPort
	DNSTLS           []netip.AddrPort
	HTTPSockets      []string // paths of unix sockets
	HTTPS            []netip.AddrPort
	SocketUser       string
	SocketGroup      string
	SocketMode       string // octal
}

// Ports are port numbers; -1 is off.
type Ports struct {
	DNS     int
	DNSTLS  int // 0 is off too
	HTTP    int
	HTTPS   int
	GRPC    int
	GRPCTLS int
	SerfLAN int
	SerfWAN int
	Server  int
}

// DNS is how names are answered.
type DNS struct {
	Domain             string // with a dot at the end
	AltDomain          string // with a dot at the end, or ""
	Recursors          []netip.AddrPort
	RecursorsRandom    bool           // ask them in a random order
	RecursorTimeout    time.Duration  // for each
	RecursionAllow     []netip.Prefix // who may ask for names outside
	AllowStale         bool
	MaxStale           time.Duration
	OnlyPassing        bool
	NearestFirst       bool // sort = "near"
	EnableTruncate     bool
	DisableCompression bool
	NodeMetaTXT        bool
	ARecordLimit       int
	UDPAnswerLimit     int
	NodeTTL            time.Duration
	PTRTTL             time.Duration
	ServiceTTL         map[string]time.Duration // by name, "prefix*" or "*"
	SOARefresh         int                      // seconds, as the three below
	SOARetry           int
	SOAExpire          int
	SOAMinTTL          int
	Guard              dnsserver.Guard // against use of the agent against others
	Transfer           transfer.Config // who gets the zone whole
	Observe            observe.Config  // who sees the questions
	Chaos              zone.Chaos      // what is told of the agent itself
}

// HTTP is the HTTP interface.
type HTTP struct {
	ResponseHeaders map[string]string
	BlockEndpoints  []string       // path prefixes
	WriteFrom       []netip.Prefix // who may write; none = everybody
	AllowedHosts    []string       // names that requests may come under, beside the agent's own
	NoCache         bool           // ?cached says nothing
	MaxHeaderBytes  int
	AllowAnyChar    bool // disable_http_unprintable_char_filter
	EnableDebug     bool
	UI              bool   // ui_config.enabled, or ui_config.dir
	UIDir           string // with other pages; "" = none
	UIPath          string // "" = /ui/
	Dashboard       string // template of links to the dashboards of services; "" = none
	Metrics         charts.Config
}

// Limits bound what clients may use.
type Limits struct {
	HTTPMaxConnsPerClient int
	HTTPSHandshakeTimeout time.Duration
	RPCMaxConnsPerClient  int
	RPCHandshakeTimeout   time.Duration
	RPCClientTimeout      time.Duration // for calls that do not block
	RPCRate               float64       // calls a second of this agent; below 0 = no limit
	RPCMaxBurst           int           // calls in one moment
	Requests              RequestLimits
	KVMaxValueSize        int // bytes
	TxnMaxReqLen          int // bytes
}

// Queries are the bounds of blocking and stale reads.
type Queries struct {
	DefaultTime       time.Duration
	MaxTime           time.Duration
	DiscoveryMaxStale time.Duration // 0 = off
}

// Checks is what holds for all checks.
type Checks struct {
	ScriptsLocal   bool // scripts of configuration files may run
	ScriptsRemote  bool // scripts registered over HTTP may run
	UpdateInterval time.Duration
	OutputMaxSize  int // bytes
	DiscardOutput  bool
}

// Leaving is what happens at the end.
type Leaving struct {
	OnTerminate     bool
	SkipOnInterrupt bool
	DrainTime       time.Duration
}

// Joining is how other agents are found.
type Joining struct {
	LAN         []string
	WAN         []string
	Interval    time.Duration
	IntervalWAN time.Duration
	Max         int // 0 = for ever
	MaxWAN      int
}

// Gossip is the pool of the datacenter and how it is kept. Times and counts of 0
// are the pool's own defaults.
type Gossip struct {
	LAN              GossipTiming
	WAN              GossipTiming
	RejoinAfterLeave bool
	ReconnectTimeout time.Duration // how long a failed member is remembered
	// AdvertiseReconnect is how long this client wants to be remembered after it
	// failed; 0 = ReconnectTimeout of the others.
	AdvertiseReconnect time.Duration
	AllowedCIDRs       []netip.Prefix // who may be a member; none = everybody
	ReconnectWAN       time.Duration  // how long a failed server of another datacenter is remembered
	AllowedWAN         []netip.Prefix // which servers of other datacenters may be members; none = all
	Key                string         // base64, "" = what the keyring file has
	VerifyIncoming     bool
	VerifyOutgoing     bool
	NoKeyringFile      bool
	NoCoordinates      bool
}

// GossipTiming is how often members talk.
type GossipTiming struct {
	GossipNodes    int
	GossipInterval time.Duration
	ProbeInterval  time.Duration
	ProbeTimeout   time.Duration
	SuspicionMult  int
	RetransmitMult int
}

// Federation is what this agent knows of other datacenters.
type Federation struct {
	Prefetch []string // services that are followed before anybody asks
}

// Autopilot is the first configuration of the care for dead and new servers; it
// lives in the replicated state from then on.
type Autopilot struct {
	CleanupDeadServers      bool
	LastContactThreshold    time.Duration
	MaxTrailingLogs         int
	MinQuorum               int
	ServerStabilizationTime time.Duration
}

// TLS is what protects each door.
type TLS struct {
	InternalRPC TLSPart
	HTTPS       TLSPart
	ServerName  string // that checks expect if they name none and Checks is set; "" = the host that they ask
	Checks      bool   // checks present the certificate of InternalRPC and trust its authorities
}

// TLSPart is the TLS of one door.
type TLSPart struct {
	CAFile               string
	CAPath               string
	CertFile             string
	KeyFile              string
	MinVersion           string   // TLSv1_2 and so on
	CipherSuites         []string // none = Go's own choice
	VerifyIncoming       bool
	VerifyOutgoing       bool
	VerifyServerHostname bool
}

// ACL is how access is controlled.
type ACL struct {
	Enabled          bool
	DefaultPolicy    string // allow or deny
	DownPolicy       string // allow, deny, extend-cache or async-cache
	TokenTTL         time.Duration
	PolicyTTL        time.Duration
	RoleTTL          time.Duration
	KeyListPolicy    bool
	TokenPersistence bool
	TokenReplication bool
	Tokens           Tokens
}

// Tokens are the secrets that this agent has; "" = none.
type Tokens struct {
	InitialManagement string
	AgentRecovery     string
	Agent             string
	Default           string
	DNS               string
	Replication       string
	ConfigFileService string
}

// Log is where and how much is logged.
type Log struct {
	Level          string // TRACE, DEBUG, INFO, WARN or ERROR
	JSON           bool
	File           string
	RotateDuration time.Duration
	RotateBytes    int
	RotateMaxFiles int
	Syslog         bool
	SyslogFacility string // LOCAL0 and so on, in capitals
}

// Telemetry is metrics.
type Telemetry struct {
	Prefix              string
	DisableHostname     bool
	FilterDefault       bool
	PrefixFilter        []string
	PrometheusRetention time.Duration // 0 = off
	Statsd              string        // host:port of collectors, "" = none; the port may be left out
	Statsite            string
	Dogstatsd           string
	DogstatsdTags       []string
	RetryFailed         bool // a collector that cannot be reached at the start is no mistake
	HostMetrics         bool // report the machine too
}
