package config

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"consul.internal/configentry"
	"consul.internal/httpapi/edge"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// Routes is what this package answers.
func Routes(b *edge.Base) []edge.Route {
	a := handlers{b}
	return []edge.Route{
		edge.Put("/v1/config", a.write),
		edge.On("/v1/config/", a.below, http.MethodGet, http.MethodDelete),
	}
}

type handlers struct{ *edge.Base }

// write puts the entry in the body.
func (a handlers) write(_ http.ResponseWriter, r *http.Request) (any, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, edge.DecodeFailed(err)
	}
	e, err := configentry.DecodeJSON(body)
	if err != nil {
		return nil, edge.BadRequest("Request decoding failed: " + err.Error())
	}
	in := &rpc.ConfigApplyRequest{Target: edge.Target(r), Put: e}
	if in.CAS, err = cas(r); err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ConfigApply, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	return out.Done, nil
}

// cas is the index that a change names, nil if it names none.
func cas(r *http.Request) (*uint64, error) {
	v := r.URL.Query().Get("cas")
	if v == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return nil, edge.Failed(http.StatusInternalServerError, err.Error()) // as clients know it
	}
	return &n, nil
}

func (a handlers) below(w http.ResponseWriter, r *http.Request) (any, error) {
	kind, name, both := strings.Cut(r.PathValue("item"), "/")
	if r.Method == http.MethodDelete {
		return a.remove(r, kind, name)
	}
	opts, err := a.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	if opts.Filter != "" {
		return nil, edge.Failed(http.StatusInternalServerError, "Failed to create boolean expression evaluator: config entries cannot be filtered")
	}
	if !both {
		out, err := edge.Read(w, r, a.Caller, rpc.ConfigList, &rpc.ConfigListRequest{ReadOptions: opts, Kind: kind}, meta)
		if err != nil {
			return nil, err
		}
		unsaid(w)
		return edge.List(out.Entries), nil
	}
	out, err := edge.Read(w, r, a.Caller, rpc.ConfigGet, &rpc.ConfigGetRequest{ReadOptions: opts, Kind: kind, Name: name}, meta)
	if errors.Is(err, fault.NotFound) {
		return nil, edge.Failed(http.StatusNotFound, err.Error())
	}
	if err != nil {
		return nil, err
	}
	unsaid(w)
	return out.Entries[0], nil
}

func meta(out *rpc.ConfigEntriesReply) *rpc.ReadMeta { return &out.ReadMeta }

// unsaid leaves out a header that clients do not know from here.
func unsaid(w http.ResponseWriter) { w.Header().Del("X-Consul-Effective-Consistency") }

// remove deletes an entry. Only with ?cas does the answer say whether it was done.
func (a handlers) remove(r *http.Request, kind, name string) (any, error) {
	if kind == "" || name == "" {
		return nil, edge.Failed(http.StatusNotFound, "Must provide both a kind and name to delete")
	}
	in := &rpc.ConfigApplyRequest{Target: edge.Target(r), Kind: kind, Name: name}
	var err error
	if in.CAS, err = cas(r); err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), a.Caller, rpc.ConfigApply, in)
	switch {
	case err != nil:
		return nil, edge.Remote(err)
	case in.CAS != nil:
		return out.Done, nil
	}
	return struct{}{}, nil
}
