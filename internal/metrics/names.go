package metrics

import "slices"

// Names of what the parts of an agent report, without the prefix. They are those
// that dashboards and alerts know.
const (
	APIHTTP              = "api.http"
	AuditDropped         = "audit.dropped"
	CatalogDeregister    = "catalog.deregister"
	CatalogNotFound      = "catalog.service.not-found"
	CatalogQuery         = "catalog.service.query"
	CatalogRegister      = "catalog.register"
	ClientRPC            = "client.rpc"
	ClientRPCExceeded    = "client.rpc.exceeded"
	ClientRPCFailed      = "client.rpc.failed"
	DNSDomainQuery       = "dns.domain_query"
	DNSDataAge           = "dns.data_age_seconds"
	DNSDropped           = "dns.dropped"
	DNSLatency           = "dns.latency_seconds"
	DNSLimited           = "dns.limited"
	DNSObserved          = "dns.observed"
	DNSPTRQuery          = "dns.ptr_query"
	DNSRecursorFailed    = "dns.recursor_failed"
	DNSRecursorHits      = "dns.recursor_cache_hits"
	DNSRecursorQuery     = "dns.recursor_query"
	DNSResponses         = "dns.responses"
	DNSStale             = "dns.stale_queries"
	DNSTopQuestions      = "dns.top_questions"
	DNSTransfers         = "dns.transfers"
	DNSTruncated         = "dns.truncated"
	DNSUnknownRefused    = "dns.unknown_names_refused"
	HealthNotFound       = "health.service.not-found"
	HealthQuery          = "health.service.query"
	LogDropped           = "log.dropped"
	MembersClients       = "members.clients"
	MembersServers       = "members.servers"
	RPCLimitExceeded     = "rpc.rate_limit.exceeded"
	RPCLimitLogDropped   = "rpc.rate_limit.log_dropped"
	RPCQueriesBlocking   = "rpc.queries_blocking"
	RPCQuery             = "rpc.query"
	RPCRequest           = "rpc.request"
	RPCRequestError      = "rpc.request_error"
	RuntimeAlloc         = "runtime.alloc_bytes"
	RuntimeFrees         = "runtime.free_count"
	RuntimeGCPause       = "runtime.gc_pause_ns"
	RuntimeGCRuns        = "runtime.total_gc_runs"
	RuntimeGCTotal       = "runtime.total_gc_pause_ns"
	RuntimeGoroutines    = "runtime.num_goroutines"
	RuntimeMallocs       = "runtime.malloc_count"
	RuntimeObjects       = "runtime.heap_objects"
	RuntimeSys           = "runtime.sys_bytes"
	SeriesRefused        = "telemetry.series_refused"
	ServerIsLeader       = "server.isLeader"
	StateDiffering       = "state.differing_servers"
	StateNodes           = "state.nodes"
	StateServiceInstance = "state.service_instances"
	StateServices        = "state.services"
	Version              = "version"
)

// Definition describes a name for people.
type Definition struct{ Name, Kind, Unit, Help string }

// Figures of what a secondary datacenter copies from the primary, see Replication.
const (
	ReplicationStatus = "status"
	ReplicationIndex  = "index"
	ReplicationLag    = "lag"
)

// replicated is what is copied.
var replicated = []string{"config-entries", "acl-policies", "acl-roles", "acl-tokens"}

// Replication is the name of a figure about something that is copied.
func Replication(what, figure string) string { return "leader.replication." + what + "." + figure }

// Replicated is what may be copied, as these names call it.
func Replicated() []string { return slices.Clone(replicated) }

func replications() (all []Definition) {
	for _, what := range replicated {
		all = append(all,
			Definition{Replication(what, ReplicationStatus), "gauge", "bool", "1 while the primary datacenter answers what is asked to copy this; 0 on servers that do not lead a secondary one."},
			Definition{Replication(what, ReplicationIndex), "gauge", "index", "Index of the primary datacenter up to which this has been copied."},
			Definition{Replication(what, ReplicationLag), "gauge", "s", "For how long the primary datacenter has not answered what is asked to copy this."})
	}
	return all
}

// definitions are all names of ours, sorted.
var definitions = append(replications(), []Definition{
	{APIHTTP, "timer", "ms", "How long HTTP requests took, by method and path; blocking queries include their wait."},
	{AuditDropped, "counter", "lines", "Lines of the audit log that could not be written fast enough."},
	{CatalogDeregister, "timer", "ms", "How long deregistrations from the catalog took."},
	{CatalogRegister, "timer", "ms", "How long registrations in the catalog took."},
	{CatalogNotFound, "counter", "queries", "Catalog reads of a service without an instance."},
	{CatalogQuery, "counter", "queries", "Catalog reads by service; those beyond the first 512 names count as _other."},
	{ClientRPC, "counter", "requests", "Requests of a client agent to servers."},
	{ClientRPCExceeded, "counter", "requests", "Requests of this agent to servers that were not made, for limits.rpc_rate."},
	{ClientRPCFailed, "counter", "requests", "Requests of a client agent to servers that failed."},
	{DNSDomainQuery, "timer", "ms", "How long DNS questions took, by query type."},
	{DNSDataAge, "gauge", "s", "For how long what DNS knows of a datacenter has not been confirmed, by datacenter; 0 is that changes arrive."},
	{DNSDropped, "counter", "queries", "DNS messages not answered because too many were under way."},
	{DNSLatency, "histogram", "s", "How long DNS questions took from being read to being answered, by path: fast (packed answers) or full."},
	{DNSLimited, "counter", "replies", "DNS replies truncated or not sent because too many went to one network."},
	{DNSObserved, "counter", "exchanges", "DNS questions shown by dnstap or the query log, by where and outcome: written or dropped."},
	{DNSPTRQuery, "timer", "ms", "How long reverse DNS questions took."},
	{DNSRecursorFailed, "counter", "queries", "DNS questions to which no recursor had an answer."},
	{DNSRecursorHits, "counter", "queries", "DNS questions for recursors that were answered from memory."},
	{DNSRecursorQuery, "timer", "ms", "How long DNS questions took that other servers had to answer."},
	{DNSResponses, "counter", "replies", "DNS replies by response code."},
	{DNSStale, "counter", "replies", "DNS replies from data that may be behind."},
	{DNSTopQuestions, "gauge", "questions/s", "How often the ten names that are asked for most were asked for in the last ten to twenty minutes, by name and type."},
	{DNSTransfers, "counter", "transfers", "What secondaries were given and told of the DNS zone, by outcome: full, incremental, refused, broken, told, untold."},
	{DNSTruncated, "counter", "replies", "DNS replies with records left out for size."},
	{DNSUnknownRefused, "counter", "queries", "DNS questions refused because their network had asked for too many different names that do not exist."},
	{HealthNotFound, "counter", "queries", "Health reads of a service without an instance."},
	{HealthQuery, "counter", "queries", "Health reads by service; those beyond the first 512 names count as _other."},
	{LogDropped, "counter", "lines", "Log lines that could not be written fast enough."},
	{MembersClients, "gauge", "agents", "Living client agents in the datacenter."},
	{MembersServers, "gauge", "agents", "Living servers in the datacenter."},
	{RPCLimitExceeded, "counter", "requests", "Requests above limits.request_limits, by operation, limit and mode."},
	{RPCLimitLogDropped, "counter", "lines", "Lines about such requests that were not written, for being too many."},
	{RPCQueriesBlocking, "gauge", "queries", "Blocking queries that wait."},
	{RPCQuery, "counter", "requests", "Read operations asked of this server."},
	{RPCRequest, "counter", "requests", "Operations asked of this server."},
	{RPCRequestError, "counter", "requests", "Operations asked of this server that failed."},
	{RuntimeAlloc, "gauge", "bytes", "Bytes in use on the heap."},
	{RuntimeFrees, "gauge", "objects", "Objects freed since the start."},
	{RuntimeGCPause, "timer", "ns", "How long the program stood still for garbage collections."},
	{RuntimeObjects, "gauge", "objects", "Objects on the heap."},
	{RuntimeMallocs, "gauge", "objects", "Objects allocated since the start."},
	{RuntimeGoroutines, "gauge", "goroutines", "Goroutines that exist."},
	{RuntimeSys, "gauge", "bytes", "Memory obtained from the system."},
	{RuntimeGCTotal, "gauge", "ns", "Time the program stood still for garbage collections since the start."},
	{RuntimeGCRuns, "gauge", "runs", "Garbage collections since the start."},
	{ServerIsLeader, "gauge", "bool", "1 on the leader, 0 on other servers."},
	{StateDiffering, "gauge", "servers", "Servers whose state was not that of the others when the leader last compared; 0 on other servers."},
	{StateNodes, "gauge", "nodes", "Nodes in the catalog."},
	{StateServiceInstance, "gauge", "instances", "Service instances in the catalog."},
	{StateServices, "gauge", "services", "Service names in the catalog."},
	{SeriesRefused, "gauge", "attempts", "Attempts to report a new series that found no room."},
	{Version, "gauge", "", "1, with the version as a label."},
}...)

// Definitions describe all names of ours. The list must not be changed.
func Definitions() []Definition { return definitions }

// helpOf is the help text of a name without prefix; names of libraries have none.
func helpOf(name string) string {
	for _, d := range definitions {
		if d.Name == name {
			return d.Help
		}
	}
	return name
}
