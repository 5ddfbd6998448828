package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// Has reports whether a request has a parameter.
func Has(r *http.Request, name string) bool {
	_, ok := parameter(r, name)
	return ok
}

// Parameter is a request's parameter, "" if it has none.
func Parameter(r *http.Request, name string) string {
	v, _ := parameter(r, name)
	return v
}

// parameter is what url.URL.Query would find first. It makes no table of all of
// them: that costs more than all else that is done for a small answer, and each
// blocked query would hold one.
func parameter(r *http.Request, name string) (string, bool) {
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if pair == "" || strings.Contains(pair, ";") {
			continue // broken pairs do not count
		}
		k, v, _ := strings.Cut(pair, "=")
		if k, err := url.QueryUnescape(k); err != nil || k != name {
			continue
		}
		if v, err := url.QueryUnescape(v); err == nil {
			return v, true
		}
	}
	return "", false
}

// OwnToken is the secret that a request brings: parameter, header, or bearer.
func OwnToken(r *http.Request) string {
	if t := Parameter(r, "token"); t != "" {
		return t
	}
	if t := r.Header.Get("X-Consul-Token"); t != "" {
		return t
	}
	if kind, t, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(kind, "bearer") {
		return strings.TrimSpace(t)
	}
	return ""
}

// Target is the datacenter that a request is for, and its token.
func Target(r *http.Request) rpc.Target {
	return rpc.Target{Datacenter: Parameter(r, "dc"), Token: Token(r)}
}

// ReadOptions takes from a request what every read understands.
func (b *Base) ReadOptions(r *http.Request) (rpc.ReadOptions, error) {
	cfg := b.Settings()
	opts := rpc.ReadOptions{Target: Target(r), Filter: Parameter(r, "filter"), Near: Parameter(r, "near"), Cached: Has(r, "cached")}
	if opts.Near == "_agent" {
		opts.Near = cfg.NodeName
		if opts.Datacenter != "" && opts.Datacenter != cfg.Datacenter {
			opts.Near = "" // another datacenter does not know this agent, or knows another of its name
		}
	}
	stale, consistent := Has(r, "stale"), Has(r, "consistent")
	switch {
	case stale && consistent:
		return opts, BadRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
	case stale:
		opts.Consistency = rpc.Stale
	case consistent:
		if opts.Cached {
			return opts, BadRequest("Cannot specify ?consistent with ?cached, conflicting semantics.")
		}
		opts.Consistency = rpc.Consistent
	case cfg.DiscoveryMaxStale > 0:
		opts.Consistency, opts.MaxStale = rpc.Stale, cfg.DiscoveryMaxStale
	}
	if v := Parameter(r, "max_stale"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return opts, BadRequest("Invalid max_stale value " + strconv.Quote(v))
		}
		opts.Consistency, opts.MaxStale = rpc.Stale, d
	}
	if v := Parameter(r, "index"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return opts, BadRequest("Invalid index")
		}
		opts.MinIndex = n
	}
	opts.MaxWait = cfg.DefaultQueryTime
	if v := Parameter(r, "wait"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return opts, BadRequest("Invalid wait time")
		}
		// A wait of nothing or less has always meant "do not wait".
		opts.MaxWait = max(d, time.Nanosecond)
	}
	opts.MaxWait = min(opts.MaxWait, cfg.MaxQueryTime)
	if !Has(r, "node-meta") {
		return opts, nil
	}
	for _, pair := range r.URL.Query()["node-meta"] {
		k, v, _ := strings.Cut(pair, ":")
		if opts.NodeMeta == nil {
			opts.NodeMeta = map[string]string{}
		}
		opts.NodeMeta[k] = v
	}
	return opts, nil
}

// SetMeta writes the headers that clients of reads depend on.
func SetMeta(w http.ResponseWriter, r *http.Request, m *rpc.ReadMeta) {
	h := w.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(max(m.Index, 1), 10))
	h.Set("X-Consul-Knownleader", strconv.FormatBool(m.KnownLeader))
	h.Set("X-Consul-Lastcontact", strconv.FormatInt(m.LastContact.Milliseconds(), 10))
	h.Set("X-Consul-Effective-Consistency", m.Consistency.String())
	if m.Filtered {
		h.Set("X-Consul-Results-Filtered-By-Acls", "true")
	}
	if Has(r, "cached") {
		// Memory is kept up to date by push, so that there is no miss, and an age
		// only while nobody pushes.
		h.Set("X-Cache", "HIT")
		h.Set("Age", strconv.FormatInt(int64(m.Age/time.Second), 10))
		return
	}
	h.Set("X-Consul-Query-Backend", "blocking-query")
}

// Decode reads one JSON document. What follows it is ignored, as it always was.
func Decode(r *http.Request, v any) error {
	return DecodeFailed(json.NewDecoder(r.Body).Decode(v))
}

// DecodeFailed says of an error of decoding a body what clients know it as.
func DecodeFailed(err error) error {
	if _, decided := errors.AsType[*Status](err); err == nil || decided || fault.Of(err) == fault.RateLimited {
		return err
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return e
	}
	return BadRequest(fmt.Sprintf("Request decode failed: %v", err))
}

// Bool reads a parameter that is true when present without a value.
func Bool(r *http.Request, name string) (bool, error) {
	q := r.URL.Query()
	if !q.Has(name) {
		return false, nil
	}
	v := q.Get(name)
	if v == "" {
		return true, nil
	}
	set, err := strconv.ParseBool(v)
	if err != nil {
		return false, BadRequest("Invalid value for ?" + name)
	}
	return set, nil
}

// Body is the whole body of a request, nil if it is empty. Its size has been limited.
func Body(r *http.Request) ([]byte, error) {
	if b, ok := r.Body.(interface{ Bytes() []byte }); ok {
		return b.Bytes(), nil // it is in memory already
	}
	if r.Body == nil {
		return nil, nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return b, nil
}
