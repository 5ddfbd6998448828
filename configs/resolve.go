package configs

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"consul.internal/catalog"
	"consul.internal/configs/definition"
	"consul.internal/internal/hclconf"
	"consul.internal/kv"
	"github.com/hashicorp/go-uuid"
)

// resolver turns a merged file into Settings, gathering all that is wrong.
type resolver struct {
	*findings
	f    *file
	loc  *locator
	host Host
	dev  bool

	sources []string
}

// value is what a pointer points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func (r *resolver) settings() *Settings {
	f := r.f
	s := &Settings{Dev: r.dev, effective: *f}
	s.Server = r.server()
	s.Node = r.node()
	s.Paths = r.paths()
	s.Raft = r.raft()
	s.Ports = r.ports(s.Server.Enabled)
	s.Addresses = r.loc.addresses(s.Ports)
	r.loc.distinct(&s.Addresses, s.Server.Enabled, s.Ports)
	s.DNS = r.dns()
	r.apart(&s.DNS, &s.Addresses)
	s.HTTP = httpOf(r)
	s.Limits = limitsOf(r)
	s.Audit = auditOf(r)
	s.Queries = Queries{DefaultTime: value(f.DefaultQueryTime), MaxTime: value(f.MaxQueryTime), DiscoveryMaxStale: value(f.DiscoveryMaxStale)}
	s.Checks = Checks{
		ScriptsRemote:  value(f.EnableScriptChecks),
		ScriptsLocal:   value(f.EnableScriptChecks) || value(f.EnableLocalScriptChecks),
		UpdateInterval: value(f.CheckUpdateInterval), OutputMaxSize: value(f.CheckOutputMaxSize), DiscardOutput: value(f.DiscardCheckOutput),
	}
	s.Leaving = Leaving{
		OnTerminate:     or(f.LeaveOnTerm, !s.Server.Enabled),
		SkipOnInterrupt: or(f.SkipLeaveOnInt, s.Server.Enabled),
		DrainTime:       value(f.Performance.LeaveDrainTime),
	}
	s.Joining = Joining{
		LAN: f.RetryJoin, WAN: f.RetryJoinWAN, Interval: value(f.RetryInterval), IntervalWAN: value(f.RetryIntervalWAN),
		Max: value(f.RetryMax), MaxWAN: value(f.RetryMaxWAN),
	}
	s.Gossip = r.gossip()
	s.Federation = r.federation()
	s.Autopilot = r.autopilot()
	s.TLS = r.tls()
	s.ACL = aclOf(r)
	s.Log = r.log()
	s.Telemetry = Telemetry{
		Prefix: value(f.Telemetry.MetricsPrefix), DisableHostname: value(f.Telemetry.DisableHostname),
		FilterDefault: value(f.Telemetry.FilterDefault), PrefixFilter: f.Telemetry.PrefixFilter,
		PrometheusRetention: value(f.Telemetry.PrometheusRetention),
		Statsd:              value(f.Telemetry.StatsdAddr), Statsite: value(f.Telemetry.StatsiteAddr),
		Dogstatsd: value(f.Telemetry.DogstatsdAddr), DogstatsdTags: f.Telemetry.DogstatsdTags,
		RetryFailed: value(f.Telemetry.RetryFailedConfig), HostMetrics: value(f.Telemetry.EnableHostMetrics),
	}
	s.Server.ConfigEntries = r.configEntries(s.Server.Enabled && s.Node.PrimaryDatacenter == s.Node.Datacenter)
	s.Definitions = r.definitions(s.Checks.ScriptsLocal)
	s.RemoteExec = !or(f.DisableRemoteExec, true)
	r.gossipKey()
	r.words()
	r.bounds()
	return s
}

// minRejoinAge is the known lower bound: an update or a night's repair must never
// keep a server away.
const minRejoinAge = 6 * time.Hour

// server decides the role. "-bootstrap-expect=1" means the same as "-bootstrap".
func (r *resolver) server() Server {
	f := r.f
	s := Server{Enabled: value(f.Server), Bootstrap: value(f.Bootstrap), BootstrapExpect: value(f.BootstrapExpect), ReadReplica: value(f.ReadReplica), RejoinAgeMax: value(f.ServerRejoinAgeMax), SessionTTLMin: value(f.SessionTTLMin)}
	if s.RejoinAgeMax < minRejoinAge {
		r.errorf("server_rejoin_age_max", "server_rejoin_age_max cannot be lower than %s", minRejoinAge)
	}
	if s.SessionTTLMin > kv.MaxTTL {
		r.errorf("session_ttl_min", "session_ttl_min cannot be %s. Must be %s or less, which is the longest TTL of a session", s.SessionTTLMin, kv.MaxTTL)
	}
	expect := s.BootstrapExpect
	switch {
	case expect < 0:
		r.errorf("bootstrap_expect", "bootstrap_expect cannot be %d. Must be greater than or equal to zero", expect)
	case expect > 0 && r.dev:
		r.errorf("bootstrap_expect", "'bootstrap_expect > 0' not allowed in dev mode")
	case expect > 0 && !s.Enabled:
		r.errorf("bootstrap_expect", "'bootstrap_expect > 0' requires 'server = true'")
	case expect > 0 && s.Bootstrap:
		r.errorf("bootstrap_expect", "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive")
	case s.Bootstrap && !s.Enabled:
		r.errorf("bootstrap", "'bootstrap = true' requires 'server = true'")
	case s.Bootstrap:
		r.warnf("", "bootstrap = true: do not enable unless necessary")
	case expect == 1:
		r.warnf("", "bootstrap_expect = 1 is the same as bootstrap = true: this server starts a cluster of its own")
		s.Bootstrap, s.BootstrapExpect = true, 0
	case expect == 2:
		r.warnf("", "bootstrap_expect = 2: a cluster of 2 servers stops when either of them fails; use 3")
	case expect > 0 && expect%2 == 0:
		r.warnf("", "bootstrap_expect = %d: an even number of servers tolerates no more failures than %d", expect, expect-1)
	}
	return s
}

// nameFormat is what a datacenter may be called: it becomes a DNS label.
var nameFormat = regexp.MustCompile(`^[a-z0-9_-]+$`)

func (r *resolver) node() Node {
	f := r.f
	n := Node{
		ID: strings.ToLower(value(f.NodeID)), Meta: f.NodeMeta, DisableHostID: value(f.DisableHostNodeID), TranslateWANAddrs: value(f.TranslateWANAddrs),
		Datacenter: strings.ToLower(value(f.Datacenter)), PrimaryDatacenter: strings.ToLower(value(f.PrimaryDatacenter)),
	}
	n.Name = r.nodeName()
	if n.ID != "" {
		if _, err := uuid.ParseUUID(n.ID); err != nil {
			r.errorf("node_id", "failed to setup node ID: specified NodeID is invalid: %v", err)
		}
	}
	if n.PrimaryDatacenter == "" {
		n.PrimaryDatacenter = n.Datacenter
	}
	if n.Datacenter == "" {
		r.errorf("datacenter", "datacenter cannot be empty")
	} else if !nameFormat.MatchString(n.Datacenter) {
		r.errorf("datacenter", "datacenter can only contain lowercase alphanumeric, - or _ characters. received: %q", n.Datacenter)
	}
	if n.PrimaryDatacenter != n.Datacenter && !nameFormat.MatchString(n.PrimaryDatacenter) {
		r.errorf("primary_datacenter", "primary_datacenter can only contain lowercase alphanumeric, - or _ characters. received: %q", n.PrimaryDatacenter)
	}
	r.nodeMeta()
	return n
}

func (r *resolver) nodeName() string {
	if r.f.NodeName != nil {
		name := strings.TrimSpace(r.expandName(*r.f.NodeName))
		if name == "" {
			r.errorf("node_name", "node_name cannot be empty")
		}
		r.nodeLabel(name)
		return name
	}
	name, err := r.host.Hostname()
	if err != nil || name == "" {
		r.errorf("", "node_name is not set and this machine has no host name: %v", err)
	}
	r.nodeLabel(name)
	return name
}

// expandName allows templates in the node name, as for addresses.
func (r *resolver) expandName(s string) string {
	if !strings.Contains(s, "{{") {
		return s
	}
	return r.loc.expand("node_name", s)
}

func (r *resolver) nodeLabel(name string) {
	if name != "" && !catalog.ValidDNSLabel(name) {
		r.warnf("node_name", "node name %q cannot be asked for by DNS, which takes letters, digits and hyphens only", name)
	}
}

// nodeMeta checks the metadata of the node.
func (r *resolver) nodeMeta() {
	const key = "node_meta"
	all := r.at(key) + key
	r.errs = append(r.errs, definition.CheckMeta(r.f.NodeMeta, "consul-", all, func(k string) string {
		if rng, ok := r.where[key+"."+k]; ok {
			return hclconf.Place(rng) + ": " + key
		}
		return all
	})...)
}

// definitions turns services, checks and watches into what the agent takes.
func (r *resolver) definitions(scripts bool) definition.Set {
	j := definition.Judge{Scripts: scripts, Lenient: r.checkOnly}
	set := j.Definitions(r.f.Services, r.f.Checks)
	set.Watches = j.Watches(r.f.Watches)
	r.errs = append(r.errs, j.Errors...)
	for _, w := range j.Warnings {
		r.warnf("", "%s", w)
	}
	return set
}

func (r *resolver) paths() Paths {
	p := Paths{DataDir: value(r.f.DataDir), PIDFile: value(r.f.PidFile), Config: r.sources, AutoReload: value(r.f.AutoReloadConfig)}
	if p.DataDir == "" {
		if !r.dev {
			r.errorf("data_dir", "data_dir cannot be empty")
		}
		return p
	}
	if info, err := os.Stat(p.DataDir); err == nil && !info.IsDir() {
		r.errorf("data_dir", "data_dir %q is not a directory", p.DataDir)
	}
	return p
}

func (r *resolver) raft() Raft {
	f := r.f
	raft := Raft{
		Protocol: value(f.RaftProtocol), Multiplier: value(f.Performance.RaftMultiplier), RPCHoldTimeout: value(f.Performance.RPCHoldTimeout),
		SnapshotThreshold: value(f.RaftSnapshotThreshold), SnapshotInterval: value(f.RaftSnapshotInterval), TrailingLogs: value(f.RaftTrailingLogs),
	}
	if raft.Protocol != 3 {
		r.errorf("raft_protocol", "raft_protocol version %d is not supported by this version of Consul", raft.Protocol)
	}
	if p := value(f.Protocol); p < 2 || p > 3 {
		r.errorf("protocol", "protocol version %d is not supported by this version of Consul; use 2 or 3", p)
	}
	if raft.Multiplier < 1 || raft.Multiplier > 10 {
		r.errorf("performance.raft_multiplier", "performance.raft_multiplier cannot be %d. Must be between 1 and 10", raft.Multiplier)
	}
	return raft
}

func (r *resolver) ports(server bool) Ports {
	f := r.f.Ports
	p := Ports{
		DNS: value(f.DNS), DNSTLS: value(f.DNSTLS), HTTP: value(f.HTTP), HTTPS: value(f.HTTPS), GRPC: value(f.GRPC), GRPCTLS: value(f.GRPCTLS),
		SerfLAN: value(f.SerfLAN), SerfWAN: value(f.SerfWAN), Server: value(f.Server),
	}
	for _, one := range []struct {
		key    string
		port   int
		needed bool
	}{
		{"dns", p.DNS, false},
		{"dns_tls", p.DNSTLS, false},
		{"http", p.HTTP, false},
		{"https", p.HTTPS, false},
		{"grpc", p.GRPC, false},
		{"grpc_tls", p.GRPCTLS, false},
		{"serf_lan", p.SerfLAN, true},
		{"serf_wan", p.SerfWAN, false},
		{"server", p.Server, server},
		{"sidecar_min_port", value(f.SidecarMinPort), false},
		{"sidecar_max_port", value(f.SidecarMaxPort), false},
		{"expose_min_port", value(f.ExposeMinPort), false},
		{"expose_max_port", value(f.ExposeMaxPort), false},
	} {
		key := "ports." + one.key
		switch {
		case one.port < -1 || one.port > 65535:
			r.errorf(key, "%s: %d is not a port number; use 1 to 65535, or -1 to turn it off", key, one.port)
		case one.needed && one.port <= 0:
			r.errorf(key, "%s cannot be turned off", key)
		}
	}
	return p
}

func (r *resolver) dns() DNS {
	f := r.f.DNS
	d := DNS{
		Domain: dotted(value(r.f.Domain)), AltDomain: dotted(value(r.f.AltDomain)), Recursors: r.recursors(),
		RecursorsRandom: value(f.RecursorStrategy) == "random", RecursorTimeout: value(f.RecursorTimeout), RecursionAllow: r.recursionAllow(),
		AllowStale: value(f.AllowStale), MaxStale: value(f.MaxStale), OnlyPassing: value(f.OnlyPassing), NearestFirst: value(f.Sort) == "near",
		EnableTruncate: value(f.EnableTruncate), DisableCompression: value(f.DisableCompression), NodeMetaTXT: value(f.NodeMetaTXT),
		ARecordLimit: value(f.ARecordLimit), UDPAnswerLimit: value(f.UDPAnswerLimit), NodeTTL: value(f.NodeTTL), PTRTTL: value(f.PTRTTL), ServiceTTL: f.ServiceTTL,
		SOARefresh: value(f.SOA.Refresh), SOARetry: value(f.SOA.Retry), SOAExpire: value(f.SOA.Expire), SOAMinTTL: value(f.SOA.MinTTL),
		Guard: guardOf(r), Transfer: transferOf(r), Observe: observeOf(r), Chaos: chaosOf(r),
	}
	for key, name := range map[string]string{"domain": d.Domain, "alt_domain": d.AltDomain} {
		if name == "" {
			continue
		}
		for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
			if !catalog.ValidDNSLabel(label) {
				r.errorf(key, "%s: %q is not a DNS name: its label %q is not made of letters, digits and hyphens", key, strings.TrimSuffix(name, "."), label)
				break
			}
		}
	}
	r.names(&d)
	for _, name := range sorted(f.ServiceTTL) {
		if f.ServiceTTL[name] < 0 {
			r.errorf("dns_config.service_ttl."+name, "dns_config.service_ttl: %q cannot be negative", name)
		}
	}
	return d
}

// dotted is a domain name with the dot at its end.
func dotted(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

func (r *resolver) log() Log {
	f := r.f
	l := Log{
		Level: strings.ToUpper(value(f.LogLevel)), JSON: value(f.LogJSON), File: value(f.LogFile),
		RotateDuration: value(f.LogRotateDuration), RotateBytes: value(f.LogRotateBytes), RotateMaxFiles: value(f.LogRotateMaxFiles),
		Syslog: value(f.EnableSyslog), SyslogFacility: strings.ToUpper(value(f.SyslogFacility)),
	}
	if !slices.Contains(syslogFacilities, l.SyslogFacility) {
		r.errorf("syslog_facility", "syslog_facility: %q is none. Valid facilities are: %s", value(f.SyslogFacility), strings.Join(syslogFacilities, " "))
	}
	switch l.Level {
	case "TRACE", "DEBUG", "INFO", "WARN", "ERROR":
	case "ERR":
		l.Level = "ERROR"
	default:
		r.errorf("log_level", "Invalid log level: %s. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]", value(f.LogLevel))
	}
	return l
}

// syslogFacilities are the names that syslog_facility may have.
var syslogFacilities = []string{
	"KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP",
	"LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
}
