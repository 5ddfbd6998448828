package keys

import (
	"net/http"
	"net/url"
	"strconv"

	"consul.internal/httpapi/edge"
	"consul.internal/kv"
	"consul.internal/rpc"
)

// keyAPI answers /v1/kv.
type keyAPI struct{ *edge.Base }

// serve begins with what holds for all methods: a key, unless the whole tree is meant.
func (s keyAPI) serve(w http.ResponseWriter, r *http.Request) (any, error) {
	key := r.PathValue("item")
	many := edge.Has(r, "recurse") || r.Method == http.MethodGet && edge.Has(r, "keys")
	if key == "" && (!many || r.Method == http.MethodPut) {
		return nil, edge.BadRequest("Missing key name")
	}
	switch r.Method {
	case http.MethodPut:
		return s.put(r, key, r.URL.Query())
	case http.MethodDelete:
		return s.delete(r, key, r.URL.Query())
	default:
		return s.get(w, r, key)
	}
}

func entriesMeta(o *rpc.EntriesReply) *rpc.ReadMeta { return &o.ReadMeta }

func (s keyAPI) get(w http.ResponseWriter, r *http.Request, key string) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	if edge.Has(r, "keys") {
		return s.names(w, r, &rpc.KeyListRequest{ReadOptions: opts, Prefix: key, Separator: edge.Parameter(r, "separator")})
	}
	var out *rpc.EntriesReply
	if edge.Has(r, "recurse") {
		out, err = read(s.Base, w, r, rpc.KeyList, &rpc.KeyListRequest{ReadOptions: opts, Prefix: key}, entriesMeta)
	} else {
		out, err = read(s.Base, w, r, rpc.KeyGet, &rpc.KeyGetRequest{ReadOptions: opts, Key: key}, entriesMeta)
	}
	if err != nil {
		return nil, err
	}
	if len(out.Entries) == 0 {
		return missing(w)
	}
	if edge.Has(r, "raw") && !edge.Has(r, "recurse") {
		h := w.Header()
		h.Set("Content-Type", "text/plain")
		h.Set("Content-Security-Policy", "sandbox") // a value is nobody's page
		return edge.Raw(out.Entries[0].Value), nil
	}
	return out.Entries, nil
}

func (s keyAPI) names(w http.ResponseWriter, r *http.Request, in *rpc.KeyListRequest) (any, error) {
	out, err := read(s.Base, w, r, rpc.KeyNames, in, func(o *rpc.KeyNamesReply) *rpc.ReadMeta { return &o.ReadMeta })
	if err != nil {
		return nil, err
	}
	if len(out.Names) == 0 && in.Prefix != "" {
		return missing(w)
	}
	return edge.List(out.Names), nil
}

// missing answers that there is nothing, with the index from which to wait for it.
func missing(w http.ResponseWriter) (any, error) {
	edge.LimitWriting(w)
	w.WriteHeader(http.StatusNotFound)
	return edge.Sent{}, nil
}

// number reads a parameter. A bad one is known as 500.
func number(q url.Values, name string) (uint64, error) {
	n, err := strconv.ParseUint(q.Get(name), 10, 64)
	if err != nil {
		return 0, edge.Failed(http.StatusInternalServerError, err.Error())
	}
	return n, nil
}

// one makes sure that at most one of some parameters is there.
func one(q url.Values, names ...string) error {
	found := ""
	for _, name := range names {
		if !q.Has(name) {
			continue
		}
		if found != "" {
			return edge.BadRequest("Conflicting flags: " + q.Encode())
		}
		found = name
	}
	return nil
}

func (s keyAPI) put(r *http.Request, key string, q url.Values) (any, error) {
	if err := one(q, "cas", "acquire", "release"); err != nil {
		return nil, err
	}
	in := &rpc.KeyApplyRequest{Target: edge.Target(r), KeyOp: kv.KeyOp{Verb: kv.Set, Key: key}}
	var err error
	if q.Has("flags") {
		if in.Flags, err = number(q, "flags"); err != nil {
			return nil, err
		}
	}
	switch {
	case q.Has("cas"):
		in.Verb = kv.CAS
		if in.Index, err = number(q, "cas"); err != nil {
			return nil, err
		}
	case q.Has("acquire"):
		in.Verb, in.Session = kv.Lock, q.Get("acquire")
	case q.Has("release"):
		in.Verb, in.Session = kv.Unlock, q.Get("release")
	}
	if in.Value, err = edge.Body(r); err != nil {
		return nil, err
	}
	return s.change(r, in)
}

func (s keyAPI) delete(r *http.Request, key string, q url.Values) (any, error) {
	if err := one(q, "recurse", "cas"); err != nil {
		return nil, err
	}
	in := &rpc.KeyApplyRequest{Target: edge.Target(r), KeyOp: kv.KeyOp{Verb: kv.Delete, Key: key}}
	switch {
	case q.Has("recurse"):
		in.Verb = kv.DeleteTree
	case q.Has("cas"):
		in.Verb = kv.DeleteCAS
		var err error
		if in.Index, err = number(q, "cas"); err != nil {
			return nil, err
		}
	}
	return s.change(r, in)
}

func (s keyAPI) change(r *http.Request, in *rpc.KeyApplyRequest) (any, error) {
	out, err := rpc.Call(r.Context(), s.Caller, rpc.KeyApply, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	return out.Done, nil
}
