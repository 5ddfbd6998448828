package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// token is the secret that a request carries: header, bearer, or parameter.
func token(r *http.Request) string {
	if t := r.Header.Get("X-Consul-Token"); t != "" {
		return t
	}
	if kind, t, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(kind, "bearer") {
		return strings.TrimSpace(t)
	}
	return r.URL.Query().Get("token")
}

func target(r *http.Request) rpc.Target {
	return rpc.Target{Datacenter: r.URL.Query().Get("dc"), Token: token(r)}
}

// readOptions takes from a request what every read understands.
func (s *Server) readOptions(r *http.Request) (rpc.ReadOptions, error) {
	cfg, q := s.config(), r.URL.Query()
	opts := rpc.ReadOptions{Target: target(r), Filter: q.Get("filter"), Near: q.Get("near"), Cached: q.Has("cached")}
	if opts.Near == "_agent" {
		opts.Near = cfg.NodeName
		if opts.Datacenter != "" && opts.Datacenter != cfg.Datacenter {
			opts.Near = "" // another datacenter does not know this agent, or knows another of its name
		}
	}
	stale, consistent := q.Has("stale"), q.Has("consistent")
	switch {
	case stale && consistent:
		return opts, badRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
	case stale:
		opts.Consistency = rpc.Stale
	case consistent:
		if q.Has("cached") {
			return opts, badRequest("Cannot specify ?consistent with ?cached, conflicting semantics.")
		}
		opts.Consistency = rpc.Consistent
	case cfg.DiscoveryMaxStale > 0:
		opts.Consistency, opts.MaxStale = rpc.Stale, cfg.DiscoveryMaxStale
	}
	if v := q.Get("max_stale"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return opts, badRequest("Invalid max_stale value " + strconv.Quote(v))
		}
		opts.Consistency, opts.MaxStale = rpc.Stale, d
	}
	if v := q.Get("index"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return opts, badRequest("Invalid index")
		}
		opts.MinIndex = n
	}
	opts.MaxWait = cfg.DefaultQueryTime
	if v := q.Get("wait"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return opts, badRequest("Invalid wait time")
		}
		// A wait of nothing or less has always meant "do not wait".
		opts.MaxWait = max(d, time.Nanosecond)
	}
	opts.MaxWait = min(opts.MaxWait, cfg.MaxQueryTime)
	for _, pair := range q["node-meta"] {
		k, v, _ := strings.Cut(pair, ":")
		if opts.NodeMeta == nil {
			opts.NodeMeta = map[string]string{}
		}
		opts.NodeMeta[k] = v
	}
	return opts, nil
}

// setMeta writes the headers that clients of reads depend on.
func setMeta(w http.ResponseWriter, r *http.Request, m *rpc.ReadMeta) {
	h := w.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(max(m.Index, 1), 10))
	h.Set("X-Consul-Knownleader", strconv.FormatBool(m.KnownLeader))
	h.Set("X-Consul-Lastcontact", strconv.FormatInt(m.LastContact.Milliseconds(), 10))
	h.Set("X-Consul-Effective-Consistency", m.Consistency.String())
	if r.URL.Query().Has("cached") {
		// Memory is kept up to date by push, so that there is no miss, and an age
		// only while nobody pushes.
		h.Set("X-Cache", "HIT")
		h.Set("Age", strconv.FormatInt(int64(m.Age/time.Second), 10))
		return
	}
	h.Set("X-Consul-Query-Backend", "blocking-query")
}

// decode reads one JSON document. What follows it is ignored, as it always was.
func decode(r *http.Request, v any) error {
	return decodeFailed(json.NewDecoder(r.Body).Decode(v))
}

func decodeFailed(err error) error {
	if _, decided := errors.AsType[*statusError](err); err == nil || decided || fault.Of(err) == fault.RateLimited {
		return err
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return e
	}
	return badRequest(fmt.Sprintf("Request decode failed: %v", err))
}

// boolParam reads a parameter that is true when present without a value.
func boolParam(r *http.Request, name string) (bool, error) {
	q := r.URL.Query()
	if !q.Has(name) {
		return false, nil
	}
	v := q.Get(name)
	if v == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, badRequest("Invalid value for ?" + name)
	}
	return b, nil
}

// item is what follows a route's path; missing is the text if nothing does.
func item(r *http.Request, missing string) (string, error) {
	v := r.PathValue("item")
	if v == "" {
		return "", badRequest(missing)
	}
	return v, nil
}
