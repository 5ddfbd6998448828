package metrics

// Names of what the parts of an agent report, without the prefix. They are those
// that dashboards and alerts know.
const (
	APIHTTP              = "api.http"
	CatalogDeregister    = "catalog.deregister"
	CatalogNotFound      = "catalog.service.not-found"
	CatalogQuery         = "catalog.service.query"
	CatalogRegister      = "catalog.register"
	ClientRPC            = "client.rpc"
	ClientRPCFailed      = "client.rpc.failed"
	DNSDomainQuery       = "dns.domain_query"
	DNSDropped           = "dns.dropped"
	DNSLimited           = "dns.limited"
	DNSPTRQuery          = "dns.ptr_query"
	DNSRecursorFailed    = "dns.recursor_failed"
	DNSRecursorHits      = "dns.recursor_cache_hits"
	DNSRecursorQuery     = "dns.recursor_query"
	DNSResponses         = "dns.responses"
	DNSStale             = "dns.stale_queries"
	DNSTruncated         = "dns.truncated"
	HealthNotFound       = "health.service.not-found"
	HealthQuery          = "health.service.query"
	LogDropped           = "log.dropped"
	MembersClients       = "members.clients"
	MembersServers       = "members.servers"
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

// definitions are all names of ours, sorted.
var definitions = []Definition{
	{APIHTTP, "timer", "ms", "How long HTTP requests took, by method and path; blocking queries include their wait."},
	{CatalogDeregister, "timer", "ms", "How long deregistrations from the catalog took."},
	{CatalogRegister, "timer", "ms", "How long registrations in the catalog took."},
	{CatalogNotFound, "counter", "queries", "Catalog reads of a service without an instance."},
	{CatalogQuery, "counter", "queries", "Catalog reads by service; those beyond the first 512 names count as _other."},
	{ClientRPC, "counter", "requests", "Requests of a client agent to servers."},
	{ClientRPCFailed, "counter", "requests", "Requests of a client agent to servers that failed."},
	{DNSDomainQuery, "timer", "ms", "How long DNS questions took, by query type."},
	{DNSDropped, "counter", "queries", "DNS messages not answered because too many were under way."},
	{DNSLimited, "counter", "replies", "DNS replies truncated or not sent because too many went to one network."},
	{DNSPTRQuery, "timer", "ms", "How long reverse DNS questions took."},
	{DNSRecursorFailed, "counter", "queries", "DNS questions to which no recursor had an answer."},
	{DNSRecursorHits, "counter", "queries", "DNS questions for recursors that were answered from memory."},
	{DNSRecursorQuery, "timer", "ms", "How long DNS questions took that other servers had to answer."},
	{DNSResponses, "counter", "replies", "DNS replies by response code."},
	{DNSStale, "counter", "replies", "DNS replies from data that may be behind."},
	{DNSTruncated, "counter", "replies", "DNS replies with records left out for size."},
	{HealthNotFound, "counter", "queries", "Health reads of a service without an instance."},
	{HealthQuery, "counter", "queries", "Health reads by service; those beyond the first 512 names count as _other."},
	{LogDropped, "counter", "lines", "Log lines that could not be written fast enough."},
	{MembersClients, "gauge", "agents", "Living client agents in the datacenter."},
	{MembersServers, "gauge", "agents", "Living servers in the datacenter."},
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
}

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
