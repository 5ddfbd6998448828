package rpc

import (
	"consul.internal/catalog"
	"consul.internal/query"
)

// Operations on prepared queries.
var (
	QueryApply         = Method[QueryApplyRequest, QueryApplyReply]{Name: "Query.Apply"}
	QueryGet           = Method[QueryGetRequest, QueriesReply]{Name: "Query.Get", Idempotent: true}
	QueryList          = Method[QueryListRequest, QueriesReply]{Name: "Query.List", Idempotent: true}
	QueryExplain       = Method[QueryExecuteRequest, QueryExplainReply]{Name: "Query.Explain", Idempotent: true}
	QueryExecute       = Method[QueryExecuteRequest, QueryExecuteReply]{Name: "Query.Execute", Idempotent: true}
	QueryExecuteRemote = Method[QueryRemoteRequest, QueryExecuteReply]{Name: "Query.ExecuteRemote", Idempotent: true}
)

// QueryOp is what is done with a prepared query.
type QueryOp uint8

// The changes of prepared queries.
const (
	QueryCreate QueryOp = iota
	QueryUpdate
	QueryDelete
)

// QueryApplyRequest changes a prepared query. One that is created gets its ID.
type QueryApplyRequest struct {
	Target
	Op    QueryOp
	Query *query.Query
}

// QueryApplyReply holds the ID of the query that was changed.
type QueryApplyReply struct{ ID string }

// QueryGetRequest asks for the definition of one query.
type QueryGetRequest struct {
	ReadOptions
	ID string
}

// QueryListRequest asks for all definitions.
type QueryListRequest struct{ ReadOptions }

// QueriesReply lists definitions by ID.
type QueriesReply struct {
	ReadMeta
	Queries []*query.Query
}

// QueryExecuteRequest executes a query, or asks what would be executed. Near of
// its options takes the place of the definition's; with MinIndex the execution
// waits for another result, as reads do.
type QueryExecuteRequest struct {
	ReadOptions
	Query   string // ID or name
	Limit   int    // most instances, 0 = all
	Connect bool   // mesh-capable instances, whatever the definition says
	Origin  QueryOrigin
	// Brief results need not hold what checks said last. Those of other datacenters
	// then come from what the server has in memory of them.
	Brief bool
}

// QueryOrigin is who asks for an execution.
type QueryOrigin struct {
	Node    string // of the agent that was asked
	Segment string // of that agent
	IP      string // of whoever asked it
}

// QueryExplainReply holds the definition that would be executed.
type QueryExplainReply struct {
	ReadMeta
	Query *query.Query
}

// QueryExecuteReply is the result of an execution.
type QueryExecuteReply struct {
	ReadMeta
	Service    string
	Instances  []*catalog.Instance // in the order in which they are to be used
	DNS        query.DNS
	Datacenter string // that the instances are of
	Failovers  int    // how many other datacenters were asked
	// Sorted says that the order means something: it is that of distances.
	Sorted bool
	// Varies says that the result hangs on who asks.
	Varies bool
	// Stale says that the result is made of what was known of a datacenter before
	// it was cut off.
	Stale bool
}

// QueryRemoteRequest executes a definition that has been made elsewhere, without
// failing over any further.
type QueryRemoteRequest struct {
	ReadOptions
	Query   *query.Query
	Limit   int
	Connect bool
}
