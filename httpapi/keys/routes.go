package keys

import (
	"context"
	"net/http"

	"consul.internal/httpapi/edge"
	"consul.internal/kv"
	"consul.internal/rpc"
)

// Events are the events that this agent has seen.
type Events interface {
	// List returns those of a name ("" = all) that pass, the oldest first, and the
	// index of the last; it waits as long as that is min, if min is not 0.
	List(ctx context.Context, name string, pass func(*kv.Event) bool, min uint64) (uint64, []*kv.Event)
}

// Routes are the rows of this package. events may be nil: there are none then.
func Routes(b *edge.Base, events Events) []edge.Route {
	keys, txns, sessions, evs := keyAPI{b}, txnAPI{b}, sessionAPI{b}, eventAPI{b, events}
	return []edge.Route{
		edge.Put("/v1/event/fire/", evs.fire),
		edge.Get("/v1/event/list", evs.list),
		edge.On("/v1/kv/", keys.serve, http.MethodGet, http.MethodPut, http.MethodDelete),
		edge.Put("/v1/session/create", sessions.create),
		edge.Put("/v1/session/destroy/", sessions.destroy),
		edge.Get("/v1/session/info/", sessions.info),
		edge.Get("/v1/session/list", sessions.list),
		edge.Get("/v1/session/node/", sessions.node),
		edge.Put("/v1/session/renew/", sessions.renew),
		edge.Put("/v1/txn", txns.serve),
	}
}

// read performs a read and writes its headers. These endpoints have never told the
// consistency.
func read[Req, Resp any](b *edge.Base, w http.ResponseWriter, r *http.Request, m rpc.Method[Req, Resp], in *Req, meta func(*Resp) *rpc.ReadMeta) (*Resp, error) {
	out, err := edge.Read(w, r, b.Caller, m, in, meta)
	w.Header().Del("X-Consul-Effective-Consistency")
	return out, err
}
