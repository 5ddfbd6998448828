package server_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/configentry"
	"consul.internal/internal/fault"
	"consul.internal/kv"
	"consul.internal/query"
	"consul.internal/rpc"
	"consul.internal/store"
	"consul.internal/view"
)

const n1ID = "aaaaaaaa-2222-2222-2222-222222222222"

// call performs one operation by a token. seen is whether the answer holds what the
// row speaks of.
type call = func(m *matrix, secret string) (seen bool, err error)

func n1() *catalog.Node { return &catalog.Node{ID: n1ID, Name: "n1", Address: "10.0.0.1"} }
func n9() *catalog.Node { return &catalog.Node{Name: "n9", Address: "10.0.0.9"} }
func web() *catalog.Service {
	return &catalog.Service{ID: "web1", Name: "web", Port: 80, Tags: []string{"v1"}}
}

// own performs an operation in the server's own name.
func do0[Req, Resp any](t *testing.T, m *matrix, op rpc.Method[Req, Resp], in *Req) *Resp {
	t.Helper()
	return do(t, m.Own(), op, in)
}

// reset puts back what a call may have changed.
func (m *matrix) reset(t *testing.T) {
	t.Helper()
	if m.st.State().Index() == m.clean && m.clean != 0 {
		return
	}
	do0(t, m, rpc.CatalogDeregister, &rpc.DeregisterRequest{Node: "n9"})
	do0(t, m, rpc.CatalogRegister, &rpc.RegisterRequest{Node: n1(), Service: web(), Checks: []*catalog.Check{
		{CheckID: "nc", Name: "nc", Status: catalog.Passing}, {CheckID: "sc", Name: "sc", ServiceID: "web1", Status: catalog.Passing},
	}})
	if err := store.UpdateCoordinates(t.Context(), m.st, []catalog.NodeCoordinate{{Node: "n1", Coord: &catalog.Coordinate{Vec: make([]float64, 8), Error: 1.5}}}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"k/a", "k/b"} {
		do0(t, m, rpc.KeyApply, &rpc.KeyApplyRequest{KeyOp: kv.KeyOp{Verb: kv.Set, Key: key, Value: []byte("v")}})
	}
	if _, s := m.st.State().Sessions().Get(nil, m.session); s == nil {
		m.session = do0(t, m, rpc.SessionCreate, &rpc.SessionCreateRequest{Session: kv.Session{Node: "n1"}}).ID
	}
	m.query = m.define(t, m.query, &query.Query{Name: "q", Service: query.Service{Service: "web"}})
	m.unnamed = m.define(t, m.unnamed, &query.Query{Service: query.Service{Service: "web"}})
	m.tokened = m.define(t, m.tokened, &query.Query{Service: query.Service{Service: "web"}, Token: master})
	_, all := m.st.State().Queries().List(nil)
	for _, q := range all {
		if !slices.Contains([]string{m.query, m.unnamed, m.tokened}, q.ID) {
			do0(t, m, rpc.QueryApply, &rpc.QueryApplyRequest{Op: rpc.QueryDelete, Query: q})
		}
	}
	for _, e := range []*configentry.Entry{confEntry("service-defaults", "web"), confEntry("service-intentions", "web"), confEntry("terminating-gateway", "gate"), confEntry("proxy-defaults", "global")} {
		do0(t, m, rpc.ConfigApply, &rpc.ConfigApplyRequest{Put: e})
	}
	m.clean = m.st.State().Index()
}

// define creates a query, or makes it again what it was.
func (m *matrix) define(t *testing.T, id string, q *query.Query) string {
	t.Helper()
	op := rpc.QueryCreate
	if _, old := m.st.State().Queries().Get(nil, id); old != nil {
		op, q.ID = rpc.QueryUpdate, id
	}
	return do0(t, m, rpc.QueryApply, &rpc.QueryApplyRequest{Op: op, Query: q}).ID
}

func confEntry(kind, name string) *configentry.Entry {
	e := &configentry.Entry{Kind: kind, Name: name}
	switch kind {
	case "service-defaults":
		e.Body.ServiceDefaults = &configentry.ServiceDefaults{Protocol: "http"}
	case "service-resolver":
		e.Body.ServiceResolver = &configentry.ServiceResolver{}
	case "service-intentions":
		e.Body.ServiceIntentions = &configentry.ServiceIntentions{Sources: []*configentry.Source{{Name: "db", Action: "allow"}}}
	case "terminating-gateway":
		e.Body.TerminatingGateway = &configentry.TerminatingGateway{}
	case "proxy-defaults":
		e.Body.ProxyDefaults = &configentry.ProxyDefaults{}
	}
	return e
}

// plain is the call of an operation whose answer does not matter.
func plain[Req, Resp any](op rpc.Method[Req, Resp], in func(m *matrix, secret string) *Req) call {
	return func(m *matrix, secret string) (bool, error) {
		_, err := rpc.Call(m.t.Context(), m, op, in(m, secret))
		return err == nil, err
	}
}

// look is the call of one whose answer holds something, or not.
func look[Req, Resp any](op rpc.Method[Req, Resp], in func(m *matrix, secret string) *Req, has func(m *matrix, out *Resp) bool) call {
	return func(m *matrix, secret string) (bool, error) {
		out, err := rpc.Call(m.t.Context(), m, op, in(m, secret))
		return err == nil && has(m, out), err
	}
}

func (m *matrix) calls() map[string]call {
	all := map[string]call{}
	for _, some := range []map[string]call{catalogCalls(), keyCalls(), sessionCalls(), queryCalls(), configCalls(), operatorCalls(), aclCalls(), streamCalls()} {
		for name, c := range some {
			all[name] = c
		}
	}
	return all
}

func catalogCalls() map[string]call {
	reg := func(r rpc.RegisterRequest) call {
		return plain(rpc.CatalogRegister, func(_ *matrix, s string) *rpc.RegisterRequest { r.Target = by(s); in := r; return &in })
	}
	dereg := func(d rpc.DeregisterRequest) call {
		return plain(rpc.CatalogDeregister, func(_ *matrix, s string) *rpc.DeregisterRequest { d.Target = by(s); in := d; return &in })
	}
	moved := n1()
	moved.Address = "10.0.0.2"
	service := func(s string) *rpc.ServiceRequest {
		return &rpc.ServiceRequest{ReadOptions: asking(s), Service: "web"}
	}
	node := func(_ *matrix, s string) *rpc.NodeRequest {
		return &rpc.NodeRequest{ReadOptions: asking(s), Node: "n1"}
	}
	instances := func(_ *matrix, out *rpc.InstancesReply) bool { return len(out.Instances) == 1 }
	check := func(id string) func(*matrix, *rpc.ChecksReply) bool {
		return func(_ *matrix, out *rpc.ChecksReply) bool {
			return slices.ContainsFunc(out.Checks, func(c *catalog.Check) bool { return c.CheckID == id })
		}
	}
	services := func(filter string) call {
		return look(rpc.CatalogServices, func(_ *matrix, s string) *rpc.ServicesRequest {
			in := &rpc.ServicesRequest{ReadOptions: asking(s)}
			in.Filter = filter
			return in
		}, func(_ *matrix, out *rpc.ServicesReply) bool { return out.Services["web"] != nil })
	}
	where := &catalog.Coordinate{Vec: make([]float64, 8), Error: 1.5}
	return map[string]call{
		"Catalog.Register node":             reg(rpc.RegisterRequest{Node: n9()}),
		"Catalog.Register changed node":     reg(rpc.RegisterRequest{Node: moved}),
		"Catalog.Register service":          reg(rpc.RegisterRequest{Node: n1(), Service: web()}),
		"Catalog.Register node and service": reg(rpc.RegisterRequest{Node: n9(), Service: web()}),
		"Catalog.Register other's ID":       reg(rpc.RegisterRequest{Node: n1(), Service: &catalog.Service{ID: "web1", Name: "db"}}),
		"Catalog.Register node check":       reg(rpc.RegisterRequest{Node: n1(), Checks: []*catalog.Check{{CheckID: "nc2"}}}),
		"Catalog.Register service check":    reg(rpc.RegisterRequest{Node: n1(), Checks: []*catalog.Check{{CheckID: "sc2", ServiceID: "web1"}}}),
		"Catalog.Deregister node":           dereg(rpc.DeregisterRequest{Node: "n1"}),
		"Catalog.Deregister service":        dereg(rpc.DeregisterRequest{Node: "N1", ServiceID: "web1"}),
		"Catalog.Deregister service check":  dereg(rpc.DeregisterRequest{Node: "n1", CheckID: "sc"}),
		"Catalog.Deregister node check":     dereg(rpc.DeregisterRequest{Node: "n1", CheckID: "nc"}),
		"Catalog.Deregister nothing":        dereg(rpc.DeregisterRequest{Node: "n1", ServiceID: "none"}),
		"Catalog.Datacenters": plain(rpc.CatalogDatacenters, func(_ *matrix, s string) *rpc.DatacentersRequest {
			return &rpc.DatacentersRequest{ReadOptions: asking(s)}
		}),
		"Catalog.Nodes": look(rpc.CatalogNodes, func(_ *matrix, s string) *rpc.NodesRequest {
			return &rpc.NodesRequest{ReadOptions: asking(s)}
		}, func(_ *matrix, out *rpc.NodesReply) bool { return len(out.Nodes) == 1 }),
		"Catalog.Services":        services(""),
		"Catalog.Services filter": services("ServiceName == web"),
		"Catalog.Service":         look(rpc.CatalogService, func(_ *matrix, s string) *rpc.ServiceRequest { return service(s) }, instances),
		"Catalog.Node node":       look(rpc.CatalogNode, node, func(_ *matrix, out *rpc.NodeReply) bool { return out.Node != nil }),
		"Catalog.Node services":   look(rpc.CatalogNode, node, func(_ *matrix, out *rpc.NodeReply) bool { return len(out.Services) == 1 }),
		"Catalog.Inventory node":  look(rpc.CatalogInventory, node, func(_ *matrix, out *rpc.InventoryReply) bool { return len(out.Nodes) == 1 }),
		"Catalog.Inventory services": look(rpc.CatalogInventory, node, func(_ *matrix, out *rpc.InventoryReply) bool {
			return len(out.Nodes) == 1 && len(out.Nodes[0].Services) > 0
		}),
		"Catalog.Inventory checks": look(rpc.CatalogInventory, node, func(_ *matrix, out *rpc.InventoryReply) bool {
			return len(out.Nodes) == 1 && len(out.Nodes[0].Checks) > 0
		}),
		"Coordinate.Update": plain(rpc.CoordinateUpdate, func(_ *matrix, s string) *rpc.CoordinateUpdateRequest {
			return &rpc.CoordinateUpdateRequest{Target: by(s), NodeCoordinate: catalog.NodeCoordinate{Node: "n1", Coord: where}}
		}),
		"Coordinate.Nodes": look(rpc.CoordinateNodes, func(_ *matrix, s string) *rpc.CoordinateNodesRequest {
			return &rpc.CoordinateNodesRequest{ReadOptions: asking(s)}
		}, func(_ *matrix, out *rpc.CoordinatesReply) bool { return len(out.Coordinates) == 1 }),
		"Coordinate.Node": plain(rpc.CoordinateNode, func(_ *matrix, s string) *rpc.CoordinateNodeRequest {
			return &rpc.CoordinateNodeRequest{ReadOptions: asking(s), Node: "n1"}
		}),
		"Coordinate.Datacenters": plain(rpc.CoordinateDatacenters, func(_ *matrix, s string) *rpc.CoordinateDatacentersRequest {
			return &rpc.CoordinateDatacentersRequest{Target: by(s)}
		}),
		"Health.Service":            look(rpc.HealthService, func(_ *matrix, s string) *rpc.ServiceRequest { return service(s) }, instances),
		"Health.Node node check":    look(rpc.HealthNode, node, check("nc")),
		"Health.Node service check": look(rpc.HealthNode, node, check("sc")),
		"Health.Checks": look(rpc.HealthChecks, func(_ *matrix, s string) *rpc.ChecksRequest {
			return &rpc.ChecksRequest{ReadOptions: asking(s), Service: "web"}
		}, check("sc")),
		"Health.State": look(rpc.HealthState, func(_ *matrix, s string) *rpc.StateRequest {
			return &rpc.StateRequest{ReadOptions: asking(s), State: catalog.Any}
		}, check("nc")),
		"Status.Leader": plain(rpc.StatusLeader, func(_ *matrix, s string) *rpc.StatusRequest { return &rpc.StatusRequest{Target: by(s)} }),
		"Status.Peers":  plain(rpc.StatusPeers, func(_ *matrix, s string) *rpc.StatusRequest { return &rpc.StatusRequest{Target: by(s)} }),
	}
}

// said makes an error of what a transaction says of its operations.
func said(out *rpc.TxnReply, err error) error {
	if err != nil {
		return err
	}
	for _, e := range out.Errors {
		if strings.Contains(e.What, "lacks permission") {
			return fault.Newf(fault.Denied, "%s", e.What)
		}
	}
	return nil
}

func keyCalls() map[string]call {
	apply := func(op kv.KeyOp) call {
		return plain(rpc.KeyApply, func(m *matrix, s string) *rpc.KeyApplyRequest {
			op.Session = m.session
			return &rpc.KeyApplyRequest{Target: by(s), KeyOp: op}
		})
	}
	txn := func(ops ...kv.Op) call {
		return func(m *matrix, s string) (bool, error) {
			out, err := rpc.Call(m.t.Context(), m, rpc.TxnApply, &rpc.TxnRequest{Target: by(s), Ops: ops})
			return false, said(out, err)
		}
	}
	read := func(op kv.Op) call {
		return func(m *matrix, s string) (bool, error) {
			out, err := rpc.Call(m.t.Context(), m, rpc.TxnRead, &rpc.TxnReadRequest{ReadOptions: asking(s), Ops: []kv.Op{op}})
			if err = said(out, err); err != nil {
				return false, err
			}
			return slices.ContainsFunc(out.Results, func(r kv.Result) bool { return r.KV != nil && r.KV.Key == "k/a" }), nil
		}
	}
	key := func(verb kv.Verb, key string) kv.Op { return kv.Op{KV: &kv.KeyOp{Verb: verb, Key: key, Session: n1ID}} }
	node := func(verb kv.Verb, n catalog.Node) kv.Op { return kv.Op{Node: &kv.NodeOp{Verb: verb, Node: n}} }
	service := func(verb kv.Verb) kv.Op {
		return kv.Op{Service: &kv.ServiceOp{Verb: verb, Node: "n1", Service: *web()}}
	}
	check := func(verb kv.Verb, id, service string) kv.Op {
		return kv.Op{Check: &kv.CheckOp{Verb: verb, Check: catalog.Check{Node: "n1", CheckID: id, Name: id, ServiceID: service}}}
	}
	list := func(_ *matrix, s string) *rpc.KeyListRequest {
		return &rpc.KeyListRequest{ReadOptions: asking(s), Prefix: "k/"}
	}
	out := map[string]call{
		"Key.Get": plain(rpc.KeyGet, func(_ *matrix, s string) *rpc.KeyGetRequest {
			return &rpc.KeyGetRequest{ReadOptions: asking(s), Key: "k/a"}
		}),
		"Key.List": look(rpc.KeyList, list, func(_ *matrix, out *rpc.EntriesReply) bool {
			return slices.ContainsFunc(out.Entries, func(e *kv.Entry) bool { return e.Key == "k/a" })
		}),
		"Key.Names":                     look(rpc.KeyNames, list, func(_ *matrix, out *rpc.KeyNamesReply) bool { return slices.Contains(out.Names, "k/a") }),
		"Txn.Apply key set":             txn(key(kv.Set, "k/a")),
		"Txn.Apply key delete-tree":     txn(key(kv.DeleteTree, "k/")),
		"Txn.Apply two keys":            txn(key(kv.Set, "k/a"), key(kv.Get, "k/b")),
		"Txn.Apply node set":            txn(node(kv.Set, *n1())),
		"Txn.Apply node delete":         txn(node(kv.Delete, *n1())),
		"Txn.Apply service set":         txn(service(kv.Set)),
		"Txn.Apply service delete":      txn(service(kv.Delete)),
		"Txn.Apply check set":           txn(check(kv.Set, "nc", "")),
		"Txn.Apply service check set":   txn(check(kv.Set, "sc", "web1")),
		"Txn.Apply check delete":        txn(check(kv.Delete, "nc", "")),
		"Txn.Read key get":              read(key(kv.Get, "k/a")),
		"Txn.Read key get-or-empty":     read(key(kv.GetOrEmpty, "k/a")),
		"Txn.Read key check-index":      read(key(kv.CheckIndex, "k/a")),
		"Txn.Read key check-session":    read(key(kv.CheckSession, "k/a")),
		"Txn.Read key check-not-exists": read(key(kv.CheckNotExists, "k/none")),
		"Txn.Read key get-tree":         read(key(kv.GetTree, "k/")),
		"Txn.Read node get":             read(node(kv.Get, catalog.Node{Name: "n1"})),
		"Txn.Read node get by ID":       read(node(kv.Get, catalog.Node{ID: n1ID})),
		"Txn.Read service get":          read(service(kv.Get)),
		"Txn.Read check get":            read(check(kv.Get, "nc", "")),
		"Txn.Read service check get":    read(check(kv.Get, "sc", "")),
	}
	for _, verb := range []kv.Verb{kv.Set, kv.CAS, kv.Lock, kv.Unlock, kv.Delete, kv.DeleteCAS} {
		out["Key.Apply "+string(verb)] = apply(kv.KeyOp{Verb: verb, Key: "k/a"})
	}
	out["Key.Apply delete-tree"] = apply(kv.KeyOp{Verb: kv.DeleteTree, Key: "k/"})
	return out
}

func sessionCalls() map[string]call {
	has := func(m *matrix, out *rpc.SessionsReply) bool { return len(out.Sessions) > 0 }
	one := func(id string) func(m *matrix, s string) *rpc.SessionRequest {
		return func(m *matrix, s string) *rpc.SessionRequest {
			in := &rpc.SessionRequest{Target: by(s), ID: id}
			if id == "" {
				in.ID = m.session
			}
			return in
		}
	}
	list := func(node string) call {
		return look(rpc.SessionList, func(_ *matrix, s string) *rpc.SessionListRequest {
			return &rpc.SessionListRequest{ReadOptions: asking(s), Node: node}
		}, has)
	}
	return map[string]call{
		"Session.Create": plain(rpc.SessionCreate, func(_ *matrix, s string) *rpc.SessionCreateRequest {
			return &rpc.SessionCreateRequest{Target: by(s), Session: kv.Session{Node: "n1"}}
		}),
		"Session.Destroy":         plain(rpc.SessionDestroy, one("")),
		"Session.Destroy unknown": plain(rpc.SessionDestroy, one(n1ID)),
		"Session.Renew":           plain(rpc.SessionRenew, one("")),
		"Session.Get": look(rpc.SessionGet, func(m *matrix, s string) *rpc.SessionGetRequest {
			return &rpc.SessionGetRequest{ReadOptions: asking(s), ID: m.session}
		}, has),
		"Session.List all":  list(""),
		"Session.List node": list("n1"),
		"Event.Fire": plain(rpc.EventFire, func(_ *matrix, s string) *rpc.EventFireRequest {
			return &rpc.EventFireRequest{Target: by(s), Event: kv.Event{Name: "e"}}
		}),
	}
}

func queryCalls() map[string]call {
	web := query.Service{Service: "web"}
	apply := func(op rpc.QueryOp, q query.Query) call {
		return plain(rpc.QueryApply, func(m *matrix, s string) *rpc.QueryApplyRequest {
			in := q
			if in.Service = web; op != rpc.QueryCreate {
				in.ID = m.query
			}
			return &rpc.QueryApplyRequest{Target: by(s), Op: op, Query: &in}
		})
	}
	get := func(id func(*matrix) string) call {
		return plain(rpc.QueryGet, func(m *matrix, s string) *rpc.QueryGetRequest {
			return &rpc.QueryGetRequest{ReadOptions: asking(s), ID: id(m)}
		})
	}
	list := func(id func(*matrix) string) call {
		return look(rpc.QueryList, func(_ *matrix, s string) *rpc.QueryListRequest {
			return &rpc.QueryListRequest{ReadOptions: asking(s)}
		}, func(m *matrix, out *rpc.QueriesReply) bool {
			return slices.ContainsFunc(out.Queries, func(q *query.Query) bool { return q.ID == id(m) })
		})
	}
	named, unnamed := func(m *matrix) string { return m.query }, func(m *matrix) string { return m.unnamed }
	execute := func(id func(*matrix) string) call {
		return look(rpc.QueryExecute, func(m *matrix, s string) *rpc.QueryExecuteRequest {
			return &rpc.QueryExecuteRequest{ReadOptions: asking(s), Query: id(m)}
		}, func(_ *matrix, out *rpc.QueryExecuteReply) bool { return len(out.Instances) == 1 })
	}
	return map[string]call{
		"Query.Apply create":          apply(rpc.QueryCreate, query.Query{Name: "q9"}),
		"Query.Apply create unnamed":  apply(rpc.QueryCreate, query.Query{}),
		"Query.Apply create template": apply(rpc.QueryCreate, query.Query{Template: query.Template{Type: query.PrefixMatch}}),
		"Query.Apply update":          apply(rpc.QueryUpdate, query.Query{Name: "q"}),
		"Query.Apply rename":          apply(rpc.QueryUpdate, query.Query{Name: "q9"}),
		"Query.Apply delete":          apply(rpc.QueryDelete, query.Query{}),
		"Query.Get":                   get(named),
		"Query.Get unnamed":           get(unnamed),
		"Query.List":                  list(named),
		"Query.List unnamed":          list(unnamed),
		"Query.Explain": plain(rpc.QueryExplain, func(_ *matrix, s string) *rpc.QueryExecuteRequest {
			return &rpc.QueryExecuteRequest{ReadOptions: asking(s), Query: "q"}
		}),
		"Query.Execute": execute(named),
		"Query.Execute own token": func(m *matrix, s string) (bool, error) {
			seen, err := execute(func(m *matrix) string { return m.tokened })(m, s)
			if err == nil && !seen {
				err = fault.Newf(fault.Denied, "the query's token lacks permission")
			}
			return seen, err
		},
		"Query.ExecuteRemote": look(rpc.QueryExecuteRemote, func(_ *matrix, s string) *rpc.QueryRemoteRequest {
			return &rpc.QueryRemoteRequest{ReadOptions: asking(s), Query: &query.Query{Service: web}}
		}, func(_ *matrix, out *rpc.QueryExecuteReply) bool { return len(out.Instances) == 1 }),
	}
}

func configCalls() map[string]call {
	out := map[string]call{
		"Config.Apply delete": plain(rpc.ConfigApply, func(_ *matrix, s string) *rpc.ConfigApplyRequest {
			return &rpc.ConfigApplyRequest{Target: by(s), Kind: "service-defaults", Name: "web"}
		}),
	}
	for kind, name := range map[string]string{
		"service-defaults": "web", "service-resolver": "web", "service-intentions": "web", "proxy-defaults": "global", "terminating-gateway": "gate",
	} {
		out["Config.Apply "+kind] = plain(rpc.ConfigApply, func(_ *matrix, s string) *rpc.ConfigApplyRequest {
			return &rpc.ConfigApplyRequest{Target: by(s), Put: confEntry(kind, name)}
		})
		if kind == "service-resolver" {
			continue
		}
		out["Config.Get "+kind] = plain(rpc.ConfigGet, func(_ *matrix, s string) *rpc.ConfigGetRequest {
			return &rpc.ConfigGetRequest{ReadOptions: asking(s), Kind: kind, Name: name}
		})
		if kind == "service-defaults" || kind == "proxy-defaults" {
			out["Config.List "+kind] = look(rpc.ConfigList, func(_ *matrix, s string) *rpc.ConfigListRequest {
				return &rpc.ConfigListRequest{ReadOptions: asking(s), Kind: kind}
			}, func(_ *matrix, out *rpc.ConfigEntriesReply) bool { return len(out.Entries) == 1 })
		}
	}
	return out
}

func operatorCalls() map[string]call {
	keyring := func(op rpc.KeyringOp) call {
		return plain(rpc.PoolKeyring, func(_ *matrix, s string) *rpc.KeyringRequest { return &rpc.KeyringRequest{Target: by(s), Op: op} })
	}
	pilot := func(_ *matrix, s string) *rpc.AutopilotRequest {
		return &rpc.AutopilotRequest{ReadOptions: asking(s)}
	}
	nobody := func(_ *matrix, s string) *rpc.RaftPeerRequest {
		return &rpc.RaftPeerRequest{Target: by(s), ID: "nobody"}
	}
	return map[string]call{
		"Pool.Keyring list": keyring(rpc.KeyringList), "Pool.Keyring install": keyring(rpc.KeyringInstall),
		"Pool.Keyring use": keyring(rpc.KeyringUse), "Pool.Keyring remove": keyring(rpc.KeyringRemove),
		"Pool.ForceLeave": plain(rpc.PoolForceLeave, func(_ *matrix, s string) *rpc.ForceLeaveRequest {
			return &rpc.ForceLeaveRequest{Target: by(s), Node: "x"}
		}),
		"Pool.ForgetDatacenter": plain(rpc.ForgetDatacenter, func(_ *matrix, s string) *rpc.ForgetDatacenterRequest {
			return &rpc.ForgetDatacenterRequest{Target: by(s), Name: "x"}
		}),
		"Operator.Usage": plain(rpc.OperatorUsage, func(_ *matrix, s string) *rpc.UsageRequest { return &rpc.UsageRequest{ReadOptions: asking(s)} }),
		"Operator.RaftConfiguration": plain(rpc.RaftConfiguration, func(_ *matrix, s string) *rpc.RaftConfigurationRequest {
			return &rpc.RaftConfigurationRequest{ReadOptions: asking(s)}
		}),
		"Operator.RaftRemovePeer":     plain(rpc.RaftRemovePeer, nobody),
		"Operator.RaftTransferLeader": plain(rpc.RaftTransferLeader, nobody),
		"Operator.RaftCompare":        plain(rpc.RaftCompare, func(_ *matrix, s string) *rpc.RaftCompareRequest { return &rpc.RaftCompareRequest{Target: by(s)} }),
		"Operator.AutopilotGet":       plain(rpc.AutopilotGet, pilot),
		"Operator.AutopilotSet": plain(rpc.AutopilotSet, func(m *matrix, s string) *rpc.AutopilotSetRequest {
			return &rpc.AutopilotSetRequest{Target: by(s), Config: m.st.Autopilot().Config()}
		}),
		"Operator.AutopilotHealth": plain(rpc.AutopilotHealth, pilot),
		"Operator.AutopilotState":  plain(rpc.AutopilotState, pilot),
		"Raft.Pledge":              plain(rpc.RaftPledge, func(_ *matrix, s string) *rpc.PledgeRequest { return &rpc.PledgeRequest{Target: by(s)} }),
		"Raft.Stats":               plain(rpc.RaftStats, func(_ *matrix, s string) *rpc.RaftStatsRequest { return &rpc.RaftStatsRequest{Target: by(s)} }),
		"Raft.Demote": plain(rpc.RaftDemote, func(_ *matrix, s string) *rpc.RaftDemoteRequest {
			return &rpc.RaftDemoteRequest{Target: by(s), ID: "nobody"}
		}),
		"Raft.Leave": plain(rpc.RaftLeave, nobody),
		"Raft.Sum":   plain(rpc.RaftSum, func(_ *matrix, s string) *rpc.RaftSumRequest { return &rpc.RaftSumRequest{Target: by(s)} }),
	}
}

func aclCalls() map[string]call {
	gone := func(_ *matrix, s string) *rpc.ACLDeleteRequest {
		return &rpc.ACLDeleteRequest{ACLWrite: writing(s), ID: n1ID}
	}
	get := func(_ *matrix, s string) *rpc.ACLGetRequest {
		return &rpc.ACLGetRequest{ReadOptions: asking(s), ID: acl.ManagementID}
	}
	list := func(_ *matrix, s string) *rpc.ACLListRequest { return &rpc.ACLListRequest{ReadOptions: asking(s)} }
	set := func(update bool) call {
		return plain(rpc.ACLTokenSet, func(_ *matrix, s string) *rpc.ACLTokenSetRequest {
			in := &rpc.ACLTokenSetRequest{ACLWrite: writing(s), Update: update}
			if update {
				in.Set.AccessorID = n1ID
			}
			return in
		})
	}
	token := func(accessor string) call {
		return plain(rpc.ACLTokenGet, func(_ *matrix, s string) *rpc.ACLTokenGetRequest {
			return &rpc.ACLTokenGetRequest{ReadOptions: asking(s), Accessor: accessor}
		})
	}
	return map[string]call{
		"ACL.Bootstrap": plain(rpc.ACLBootstrap, func(_ *matrix, s string) *rpc.ACLBootstrapRequest {
			return &rpc.ACLBootstrapRequest{ACLWrite: writing(s)}
		}),
		"ACL.Resolve":     plain(rpc.ACLResolve, func(_ *matrix, s string) *rpc.ACLResolveRequest { return &rpc.ACLResolveRequest{Target: by(s)} }),
		"ACL.Replication": plain(rpc.ACLReplication, func(_ *matrix, s string) *rpc.ACLReplicationRequest { return &rpc.ACLReplicationRequest{Target: by(s)} }),
		"ACL.Permitted": plain(rpc.ACLPermitted, func(_ *matrix, s string) *rpc.ACLPermittedRequest {
			return &rpc.ACLPermittedRequest{Target: by(s), Resource: acl.Operator, Access: acl.Write}
		}),
		"ACL.TokenSet create": set(false), "ACL.TokenSet update": set(true),
		"ACL.TokenClone": plain(rpc.ACLTokenClone, func(_ *matrix, s string) *rpc.ACLTokenCloneRequest {
			return &rpc.ACLTokenCloneRequest{ACLWrite: writing(s), Accessor: n1ID}
		}),
		"ACL.TokenDelete": plain(rpc.ACLTokenDelete, gone),
		"ACL.TokenGet":    token(acl.AnonymousID), "ACL.TokenGet self": token(""),
		"ACL.TokenList": plain(rpc.ACLTokenList, func(_ *matrix, s string) *rpc.ACLTokenListRequest {
			return &rpc.ACLTokenListRequest{ReadOptions: asking(s)}
		}),
		"ACL.PolicySet": plain(rpc.ACLPolicySet, func(_ *matrix, s string) *rpc.ACLPolicySetRequest {
			return &rpc.ACLPolicySetRequest{ACLWrite: writing(s), Set: acl.Policy{Name: "again"}}
		}),
		"ACL.PolicyDelete": plain(rpc.ACLPolicyDelete, gone), "ACL.PolicyGet": plain(rpc.ACLPolicyGet, get), "ACL.PolicyList": plain(rpc.ACLPolicyList, list),
		"ACL.RoleSet": plain(rpc.ACLRoleSet, func(_ *matrix, s string) *rpc.ACLRoleSetRequest {
			return &rpc.ACLRoleSetRequest{ACLWrite: writing(s), Set: acl.Role{Name: "again"}}
		}),
		"ACL.MethodSet": plain(rpc.ACLMethodSet, func(_ *matrix, s string) *rpc.ACLMethodSetRequest {
			return &rpc.ACLMethodSetRequest{ACLWrite: writing(s), Set: acl.AuthMethod{Name: "m"}}
		}),
		"ACL.MethodDelete": plain(rpc.ACLMethodDelete, gone), "ACL.MethodGet": plain(rpc.ACLMethodGet, get), "ACL.MethodList": plain(rpc.ACLMethodList, list),
		"ACL.BindingSet": plain(rpc.ACLBindingSet, func(_ *matrix, s string) *rpc.ACLBindingSetRequest {
			return &rpc.ACLBindingSetRequest{ACLWrite: writing(s), Set: acl.BindingRule{AuthMethod: "m"}}
		}),
		"ACL.BindingDelete": plain(rpc.ACLBindingDelete, gone), "ACL.BindingGet": plain(rpc.ACLBindingGet, get),
		"ACL.BindingList": plain(rpc.ACLBindingList, func(_ *matrix, s string) *rpc.ACLBindingListRequest {
			return &rpc.ACLBindingListRequest{ReadOptions: asking(s)}
		}),
		"ACL.Login": plain(rpc.ACLLogin, func(*matrix, string) *rpc.ACLLoginRequest { return &rpc.ACLLoginRequest{AuthMethod: "m"} }),
		"ACL.Logout": plain(rpc.ACLLogout, func(_ *matrix, s string) *rpc.ACLLogoutRequest {
			return &rpc.ACLLogoutRequest{ACLWrite: writing(s)}
		}),
		"ACL.RoleDelete": plain(rpc.ACLRoleDelete, gone), "ACL.RoleGet": plain(rpc.ACLRoleGet, get), "ACL.RoleList": plain(rpc.ACLRoleList, list),
	}
}

// converse holds a conversation: near says something, then hears what comes back.
func converse(m *matrix, name string, hear any, say ...any) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute) // far more than any of them takes
	defer cancel()
	near, far := rpc.Pipe(ctx)
	ended := make(chan error, 1)
	go func() {
		err := m.Converse(ctx, name, far)
		far.End(err)
		ended <- err
	}()
	var err error
	for _, v := range say {
		err = errors.Join(err, near.Send(v))
	}
	for err == nil {
		err = near.Recv(hear)
		if e, is := hear.(*view.Event); !is || !e.Heartbeat {
			break // an event that says something
		}
	}
	_ = near.Close()
	if end := <-ended; end != nil && !errors.Is(end, io.EOF) {
		return end
	}
	return err
}

func streamCalls() map[string]call {
	follow := func(subject view.Subject) call {
		return func(m *matrix, s string) (bool, error) {
			var e view.Event
			err := converse(m, rpc.ViewFollow.Name, &e, &view.Ask{Subject: subject, Secret: s})
			return len(e.Changes) > 0, err
		}
	}
	return map[string]call{
		"Snapshot.Save": func(m *matrix, s string) (bool, error) {
			return false, converse(m, rpc.SnapshotSave.Name, new(rpc.SnapshotPiece), &rpc.SnapshotAsk{Target: by(s)})
		},
		"Snapshot.Restore": func(m *matrix, s string) (bool, error) {
			return false, converse(m, rpc.SnapshotRestore.Name, new(rpc.SnapshotPiece), &rpc.SnapshotAsk{Target: by(s)}, &rpc.SnapshotAsk{SnapshotPiece: rpc.SnapshotPiece{Data: []byte("no archive"), End: true}})
		},
		"View.Follow service": follow(view.Subject{Kind: view.KindService, Name: "web"}),
		"View.Follow node":    follow(view.Subject{Kind: view.KindNode, Name: "n1"}),
	}
}
