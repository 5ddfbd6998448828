package keys

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"consul.internal/acl"
	"consul.internal/httpapi/edge"
	"consul.internal/kv"
	"consul.internal/rpc"
)

// eventAPI answers /v1/event.
type eventAPI struct {
	*edge.Base
	events Events
}

func (s eventAPI) fire(_ http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing name")
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	in := &rpc.EventFireRequest{Target: edge.Target(r), Event: kv.Event{
		Name: name, NodeFilter: q.Get("node"), ServiceFilter: q.Get("service"), TagFilter: q.Get("tag"), Version: kv.EventVersion,
	}}
	if _, err := in.Event.Filter(); err != nil {
		return nil, edge.Remote(err) // known as 500
	}
	if in.Event.Payload, err = edge.Body(r); err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.Caller, rpc.EventFire, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	return out.Event, nil
}

func (s eventAPI) list(w http.ResponseWriter, r *http.Request) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	want := kv.Event{NodeFilter: q.Get("node"), ServiceFilter: q.Get("service"), TagFilter: q.Get("tag")}
	pass := func(e *kv.Event) bool {
		return (want.NodeFilter == "" || e.NodeFilter == want.NodeFilter) &&
			(want.ServiceFilter == "" || e.ServiceFilter == want.ServiceFilter) && (want.TagFilter == "" || e.TagFilter == want.TagFilter)
	}
	index, out := uint64(1), []*kv.Event(nil)
	who, err := s.Who(r)
	if err != nil {
		return nil, err
	}
	if s.events != nil {
		ctx, cancel := context.WithTimeout(r.Context(), opts.MaxWait)
		defer cancel()
		index, out = s.events.List(ctx, q.Get("name"), pass, opts.MinIndex)
		if err := r.Context().Err(); err != nil {
			return nil, edge.Remote(err)
		}
		if who, err = s.Who(r); err != nil { // the wait may have been long
			return nil, err
		}
		all := len(out)
		out = slices.DeleteFunc(out, func(e *kv.Event) bool { return !who.Allowed(acl.Event, e.Name, acl.Read) })
		if len(out) < all {
			edge.SetFiltered(w, who)
		}
	}
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	return edge.List(out), nil
}
