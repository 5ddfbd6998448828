package httpapi

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/query"
	"consul.internal/rpc"
)

// queryAPI answers /v1/query.
type queryAPI struct{ *Server }

// missing gives the error for a query that there is not its status.
func (s queryAPI) missing(err error) error {
	if errors.Is(err, fault.NotFound) && err.Error() == "Query not found" {
		return edge.Failed(http.StatusNotFound, err.Error())
	}
	return err
}

// general lists queries or creates one.
func (s queryAPI) general(w http.ResponseWriter, r *http.Request) (any, error) {
	if r.Method == http.MethodGet {
		opts, err := s.ReadOptions(r)
		if err != nil {
			return nil, err
		}
		out, err := edge.Read(w, r, s.deps.Caller, rpc.QueryList, &rpc.QueryListRequest{ReadOptions: opts}, queriesMeta)
		if err != nil {
			return nil, err
		}
		return edge.List(out.Queries), nil
	}
	in := &rpc.QueryApplyRequest{Target: edge.Target(r), Op: rpc.QueryCreate, Query: new(query.Query)}
	if err := edge.Decode(r, in.Query); err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.deps.Caller, rpc.QueryApply, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	return struct{ ID string }{out.ID}, nil
}

func queriesMeta(o *rpc.QueriesReply) *rpc.ReadMeta { return &o.ReadMeta }

// specific reads, changes or deletes the query of an ID.
func (s queryAPI) specific(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := edge.Item(r, "Missing query ID")
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodGet {
		opts, err := s.ReadOptions(r)
		if err != nil {
			return nil, err
		}
		out, err := edge.Read(w, r, s.deps.Caller, rpc.QueryGet, &rpc.QueryGetRequest{ReadOptions: opts, ID: id}, queriesMeta)
		if err != nil {
			return nil, s.missing(err)
		}
		return edge.List(out.Queries), nil
	}
	in := &rpc.QueryApplyRequest{Target: edge.Target(r), Op: rpc.QueryDelete, Query: new(query.Query)}
	if r.Method == http.MethodPut {
		in.Op = rpc.QueryUpdate
		if err := edge.Decode(r, in.Query); err != nil {
			return nil, err
		}
	}
	in.Query.ID = id // what the path says counts
	_, err = rpc.Call(r.Context(), s.deps.Caller, rpc.QueryApply, in)
	return nil, edge.Remote(err)
}

// request takes from a request what executions understand.
func (s queryAPI) request(r *http.Request) (*rpc.QueryExecuteRequest, error) {
	name, err := edge.Item(r, "Missing query ID or name")
	if err != nil {
		return nil, err
	}
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	opts.MinIndex = 0 // executions do not block
	in := &rpc.QueryExecuteRequest{ReadOptions: opts, Query: name}
	in.Origin = rpc.QueryOrigin{Node: s.config().NodeName, IP: source(r)}
	q := r.URL.Query()
	if v := q.Get("limit"); v != "" {
		if in.Limit, err = strconv.Atoi(v); err != nil {
			return nil, edge.Failed(http.StatusInternalServerError, fmt.Sprintf("Bad limit: %v", err))
		}
	}
	if v := q.Get("connect"); v != "" {
		if in.Connect, err = strconv.ParseBool(v); err != nil {
			return nil, edge.Failed(http.StatusInternalServerError, fmt.Sprintf("Error parsing 'connect' value: %v", err))
		}
	}
	return in, nil
}

// source is the address of whoever asks, as proxies tell it.
func source(r *http.Request) string {
	if first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ","); first != "" {
		return strings.TrimSpace(first)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "" // a socket of the machine
	}
	return host
}

// queryMeta is what the answers of executions hold of how they came about.
type queryMeta struct {
	Index                 uint64
	LastContact           int64
	KnownLeader           bool
	ConsistencyLevel      string `json:",omitempty"`
	NotModified           bool
	ResultsFilteredByACLs bool
}

func newQueryMeta(m *rpc.ReadMeta) queryMeta {
	return queryMeta{Index: m.Index, LastContact: int64(m.LastContact), KnownLeader: m.KnownLeader}
}

func (s queryAPI) explain(w http.ResponseWriter, r *http.Request) (any, error) {
	in, err := s.request(r)
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, s.deps.Caller, rpc.QueryExplain, in,
		func(o *rpc.QueryExplainReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, s.missing(err)
	}
	return struct {
		Query *query.Query
		queryMeta
	}{out.Query, newQueryMeta(&out.ReadMeta)}, nil
}

func (s queryAPI) execute(w http.ResponseWriter, r *http.Request) (any, error) {
	in, err := s.request(r)
	if err != nil {
		return nil, err
	}
	out, err := edge.Read(w, r, s.deps.Caller, rpc.QueryExecute, in,
		func(o *rpc.QueryExecuteReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, s.missing(err)
	}
	nodes := make([]*catalog.Instance, len(out.Instances))
	for i, inst := range out.Instances {
		copied := s.Translator().Instance(inst) // the state's instances are shared
		copied.Checks = edge.List(copied.Checks)
		nodes[i] = copied
	}
	return struct {
		Service    string
		Nodes      []*catalog.Instance
		DNS        query.DNS
		Datacenter string
		Failovers  int
		queryMeta
	}{out.Service, nodes, out.DNS, out.Datacenter, out.Failovers, newQueryMeta(&out.ReadMeta)}, nil
}
