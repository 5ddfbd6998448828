package metrics

import "slices"

// Definition describes a name for people. Labels are names of labels with commas
// between them.
type Definition struct{ Name, Kind, Unit, Labels, Help string }

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
			Definition{Replication(what, ReplicationStatus), "gauge", "bool", "", "1 while the primary datacenter answers what is asked to copy this; 0 on servers that do not lead a secondary one."},
			Definition{Replication(what, ReplicationIndex), "gauge", "index", "", "Index of the primary datacenter up to which this has been copied."},
			Definition{Replication(what, ReplicationLag), "gauge", "s", "", "For how long the primary datacenter has not answered what is asked to copy this."})
	}
	return all
}

// definitions are all names of ours, sorted.
var definitions = append(replications(), []Definition{
	{ACLResolve, "timer", "ms", "", "How long it took to tell other agents what a token may do."},
	{ACLMethodDelete, "timer", "ms", "", "How long deletions of auth methods took."},
	{ACLMethodUpsert, "timer", "ms", "", "How long writes of auth methods took."},
	{ACLBindingDelete, "timer", "ms", "", "How long deletions of binding rules took."},
	{ACLBindingUpsert, "timer", "ms", "", "How long writes of binding rules took."},
	{ACLLogin, "timer", "ms", "", "How long logins with auth methods took."},
	{ACLLogout, "timer", "ms", "", "How long logouts took."},
	{ACLPolicyDelete, "timer", "ms", "", "How long deletions of policies took."},
	{ACLPolicyUpsert, "timer", "ms", "", "How long writes of policies took."},
	{ACLRoleDelete, "timer", "ms", "", "How long deletions of roles took."},
	{ACLRoleUpsert, "timer", "ms", "", "How long writes of roles took."},
	{ACLTokenClone, "timer", "ms", "", "How long copies of tokens took."},
	{ACLTokenDelete, "timer", "ms", "", "How long deletions of tokens took."},
	{ACLTokenUpsert, "timer", "ms", "", "How long writes of tokens took."},
	{TLSExpiry, "gauge", "s", "listener", "Time until this agent's certificate ends, by the part of the tls block that it stands in."},
	{APIHTTP, "timer", "ms", "method,path", "How long HTTP requests took, by method and path; blocking queries include their wait."},
	{AuditDropped, "counter", "lines", "", "Lines of the audit log that could not be written fast enough."},
	{AutopilotTolerance, "gauge", "servers", "", "Voters that may fail before there is no quorum; on the leader alone."},
	{AutopilotHealthy, "gauge", "bool", "", "1 if autopilot finds all servers healthy, 0 if not; on the leader alone."},
	{CatalogDeregister, "timer", "ms", "", "How long deregistrations from the catalog took."},
	{CatalogRegister, "timer", "ms", "", "How long registrations in the catalog took."},
	{CatalogNotFound, "counter", "queries", "", "Catalog reads of a service without an instance."},
	{CatalogQuery, "counter", "queries", "service", "Catalog reads by service; those beyond the first 512 names count as _other."},
	{ClientRPC, "counter", "requests", "", "Requests of a client agent to servers."},
	{ClientRPCExceeded, "counter", "requests", "", "Requests of this agent to servers that were not made, for limits.rpc_rate."},
	{ClientRPCFailed, "counter", "requests", "", "Requests of a client agent to servers that failed."},
	{DNSDataAge, "gauge", "s", "datacenter", "For how long what DNS knows of a datacenter has not been confirmed, by datacenter; 0 is that changes arrive."},
	{DNSDomainQuery, "timer", "ms", "type", "How long DNS questions took, by query type."},
	{DNSDropped, "counter", "queries", "", "DNS messages not answered because too many were under way."},
	{DNSLatency, "histogram", "s", "path", "How long DNS questions took from being read to being answered, by path: fast (packed answers) or full."},
	{DNSLimited, "counter", "replies", "", "DNS replies truncated or not sent because too many went to one network."},
	{DNSObserved, "counter", "exchanges", "to,outcome", "DNS questions shown by dnstap or the query log, by where and outcome: written or dropped."},
	{DNSPTRQuery, "timer", "ms", "", "How long reverse DNS questions took."},
	{DNSRecursorHits, "counter", "queries", "", "DNS questions for recursors that were answered from memory."},
	{DNSRecursorFailed, "counter", "queries", "", "DNS questions to which no recursor had an answer."},
	{DNSRecursorQuery, "timer", "ms", "", "How long DNS questions took that other servers had to answer."},
	{DNSResponses, "counter", "replies", "rcode", "DNS replies by response code."},
	{DNSStale, "counter", "replies", "", "DNS replies from data that may be behind."},
	{DNSTopQuestions, "gauge", "questions/s", "name,type", "How often the ten names that are asked for most were asked for in the last ten to twenty minutes, by name and type."},
	{DNSTransfers, "counter", "transfers", "outcome", "What secondaries were given and told of the DNS zone, by outcome: full, incremental, refused, broken, told, untold."},
	{DNSTruncated, "counter", "replies", "", "DNS replies with records left out for size."},
	{DNSUnknownRefused, "counter", "queries", "", "DNS questions refused because their network had asked for too many different names that do not exist."},
	{GossipKeys, "gauge", "keys", "network", "Keys that gossip is read with; 0 is that it is not encrypted, and more than one that a change of keys has not been ended."},
	{HealthNotFound, "counter", "queries", "", "Health reads of a service without an instance."},
	{HealthQuery, "counter", "queries", "service", "Health reads by service; those beyond the first 512 names count as _other."},
	{HostCPUIdle, "gauge", "%", "cpu", "Part of its time that a processor of the machine was idle."},
	{HostCPUWait, "gauge", "%", "cpu", "Part of its time that a processor of the machine waited for a disk."},
	{HostCPUSystem, "gauge", "%", "cpu", "Part of its time that a processor of the machine worked for the kernel."},
	{HostCPUBusy, "gauge", "%", "cpu", "Part of its time that a processor of the machine worked, since it was last looked at; with telemetry.enable_host_metrics."},
	{HostCPUUser, "gauge", "%", "cpu", "Part of its time that a processor of the machine worked for programs."},
	{HostDiskFree, "gauge", "bytes", "path", "Room that is free on the file system of the data directory."},
	{HostDiskInodes, "gauge", "%", "path", "Part of the inodes that are used on the file system of the data directory."},
	{HostDiskSize, "gauge", "bytes", "path", "Size of the file system of the data directory."},
	{HostDiskUsed, "gauge", "bytes", "path", "Room that is used on the file system of the data directory."},
	{HostDiskPercent, "gauge", "%", "path", "Part of the room that is used on the file system of the data directory."},
	{HostMemoryAvailable, "gauge", "bytes", "", "Memory of the machine that programs can have without swapping."},
	{HostMemoryFree, "gauge", "bytes", "", "Memory of the machine that nothing uses."},
	{HostMemoryTotal, "gauge", "bytes", "", "Memory of the machine."},
	{HostMemoryUsed, "gauge", "bytes", "", "Memory of the machine that is in use, but for buffers and cache."},
	{HostUptime, "gauge", "s", "", "Since when the machine has been running."},
	{KVApply, "timer", "ms", "", "How long changes of keys took."},
	{LogDropped, "counter", "lines", "", "Log lines that could not be written fast enough."},
	{MembersClients, "gauge", "agents", "datacenter", "Living client agents in the datacenter."},
	{MembersServers, "gauge", "agents", "datacenter", "Living servers in the datacenter."},
	{QueryApply, "timer", "ms", "", "How long changes of prepared queries took."},
	{QueryExecute, "timer", "ms", "", "How long executions of prepared queries took."},
	{QueryExecuteRemote, "timer", "ms", "", "How long executions of prepared queries took that other datacenters asked for."},
	{QueryExplain, "timer", "ms", "", "How long explanations of prepared queries took."},
	{RaftAppliedIndex, "gauge", "index", "", "Index of the last log entry that is part of this server's state."},
	{RaftDiskHung, "gauge", "bool", "", "1 while the disk does not take writes of the log, so that this server takes no part in the cluster."},
	{RaftDiskWrite, "timer", "ms", "", "How long it took to write entries of the log to the disk, until it had them for good."},
	{RaftLastIndex, "gauge", "index", "", "Index of the last entry in this server's log."},
	{RaftPeers, "gauge", "servers", "", "Servers in raft's configuration."},
	{RPCAcceptConn, "counter", "connections", "", "Connections that came to this server's port."},
	{RPCConsistentRead, "timer", "ms", "", "How long it took to make sure that this server still leads, for reads."},
	{RPCCrossDC, "counter", "requests", "datacenter", "Requests of this agent for other datacenters."},
	{RPCQueriesBlocking, "gauge", "queries", "", "Blocking queries that wait."},
	{RPCQuery, "counter", "requests", "", "Read operations asked of this server."},
	{RPCRaftHandoff, "counter", "connections", "", "Connections of raft that came to this server's port."},
	{RPCLimitExceeded, "counter", "requests", "limit_type,op,mode", "Requests above limits.request_limits, by operation, limit and mode."},
	{RPCLimitLogDropped, "counter", "lines", "", "Lines about such requests that were not written, for being too many."},
	{RPCRequest, "counter", "requests", "", "Operations asked of this server."},
	{RPCRequestError, "counter", "requests", "", "Operations asked of this server that failed."},
	{RPCServerCall, "timer", "ms", "method,request_type,rpc_type,errored,leader", "How long operations took on this server; blocking queries include their wait."},
	{RuntimeAlloc, "gauge", "bytes", "", "Bytes in use on the heap."},
	{RuntimeFrees, "gauge", "objects", "", "Objects freed since the start."},
	{RuntimeGCPause, "timer", "ns", "", "How long the program stood still for garbage collections."},
	{RuntimeObjects, "gauge", "objects", "", "Objects on the heap."},
	{RuntimeMallocs, "gauge", "objects", "", "Objects allocated since the start."},
	{RuntimeGoroutines, "gauge", "goroutines", "", "Goroutines that exist."},
	{RuntimeWaitMedian, "gauge", "ns", "", "How long goroutines that could run waited for a processor since the last look: half of them less."},
	{RuntimeWaitP99, "gauge", "ns", "", "The same: 99 of 100 less."},
	{RuntimeSys, "gauge", "bytes", "", "Memory obtained from the system."},
	{RuntimeGCTotal, "gauge", "ns", "", "Time the program stood still for garbage collections since the start."},
	{RuntimeGCRuns, "gauge", "runs", "", "Garbage collections since the start."},
	{ServerIsLeader, "gauge", "bool", "", "1 on the leader, 0 on other servers."},
	{ServerLeaderKnown, "gauge", "bool", "", "1 while this server knows who leads, 0 while there is no leader for it."},
	{SessionApply, "timer", "ms", "", "How long it took to make or end sessions."},
	{SessionRenew, "timer", "ms", "", "How long renewals of sessions took."},
	{SessionActive, "gauge", "sessions", "", "Sessions with a TTL that the leader watches; 0 on other servers."},
	{SessionInvalidate, "timer", "ms", "", "How long it took to end sessions that nobody had renewed in time."},
	{StateBillable, "gauge", "instances", "datacenter", "Service instances in the catalog, but for servers and proxies."},
	{StateConfigEntries, "gauge", "entries", "datacenter,kind", "Config entries by kind."},
	{StateConnect, "gauge", "instances", "datacenter,kind", "Service instances of the mesh by kind."},
	{StateDiffering, "gauge", "servers", "", "Servers whose state was not that of the others when the leader last compared; 0 on other servers."},
	{StateKeys, "gauge", "keys", "datacenter", "Keys in the key/value store."},
	{StateNodes, "gauge", "nodes", "datacenter", "Nodes in the catalog."},
	{StateServiceInstance, "gauge", "instances", "datacenter", "Service instances in the catalog."},
	{StateServices, "gauge", "services", "datacenter", "Service names in the catalog."},
	{SeriesRefused, "gauge", "attempts", "", "Attempts to report a new series that found no room."},
	{TxnApply, "timer", "ms", "", "How long transactions with changes took."},
	{TxnRead, "timer", "ms", "", "How long transactions without changes took."},
	{Version, "gauge", "", "version,pre_release", "1, with the version as a label."},
}...)

// Definitions describe all names of ours. The list must not be changed.
func Definitions() []Definition { return definitions }

// OfProcess describes the names that Prometheus knows of every process.
func OfProcess() []Definition { return processDefinitions }

// helpOf is the help text of a name without prefix.
func helpOf(name string) string {
	if d, known := Defined(name); known {
		return d.Help
	}
	return name
}
