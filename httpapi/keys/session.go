package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"consul.internal/catalog"
	"consul.internal/httpapi/edge"
	"consul.internal/kv"
	"consul.internal/rpc"
)

// sessionAPI answers /v1/session.
type sessionAPI struct{ *edge.Base }

// delay is a lock delay: text, or a number, of seconds if it is small.
type delay time.Duration

// fewSeconds: numbers below it are seconds, as is known of these.
const fewSeconds = 1000

func (d *delay) UnmarshalJSON(raw []byte) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil: // as it was
	case float64:
		if v < fewSeconds {
			v *= float64(time.Second)
		}
		switch { // what no int64 holds is too long, or too short, in any case
		case v >= math.MaxInt64:
			v = float64(kv.MaxLockDelay)
		case v < math.MinInt64:
			v = -1
		}
		*d = delay(v)
	case string:
		parsed, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		if *d = delay(parsed); parsed < fewSeconds {
			*d *= delay(time.Second)
		}
	default:
		return fmt.Errorf("%s is not a duration such as \"15s\"", raw)
	}
	return nil
}

// sessionBody is a session as clients write it.
type sessionBody struct {
	Name          string
	Node          string
	LockDelay     delay
	Behavior      kv.Behavior
	TTL           string
	Checks        []string // what NodeChecks were called once
	NodeChecks    []string
	ServiceChecks []kv.ServiceCheck
}

func (s sessionAPI) create(_ http.ResponseWriter, r *http.Request) (any, error) {
	body := sessionBody{Node: s.Settings().NodeName, LockDelay: delay(kv.DefaultLockDelay), Behavior: kv.Release}
	if err := edge.Decode(r, &body); err != nil && !empty(r, err) {
		return nil, err
	}
	checks := body.NodeChecks
	switch {
	case checks != nil:
	case body.Checks != nil:
		checks = body.Checks
	default:
		checks = []string{catalog.SerfHealth}
	}
	in := &rpc.SessionCreateRequest{Target: edge.Target(r), Session: kv.Session{
		Name: body.Name, Node: body.Node, LockDelay: time.Duration(body.LockDelay), Behavior: body.Behavior, TTL: body.TTL,
		NodeChecks: checks, ServiceChecks: body.ServiceChecks,
	}}
	out, err := rpc.Call(r.Context(), s.Caller, rpc.SessionCreate, in)
	if err != nil {
		return nil, edge.Remote(err)
	}
	return struct{ ID string }{out.ID}, nil
}

// empty reports whether a body could not be decoded because there is none, which is well.
func empty(r *http.Request, err error) bool {
	return r.ContentLength == 0 || r.Body == nil || errors.Is(err, io.EOF)
}

func (s sessionAPI) destroy(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := edge.Item(r, "Missing session")
	if err != nil {
		return nil, err
	}
	if _, err := rpc.Call(r.Context(), s.Caller, rpc.SessionDestroy, &rpc.SessionRequest{Target: edge.Target(r), ID: id}); err != nil {
		return nil, edge.Remote(err)
	}
	return true, nil
}

func (s sessionAPI) renew(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := edge.Item(r, "Missing session")
	if err != nil {
		return nil, err
	}
	out, err := rpc.Call(r.Context(), s.Caller, rpc.SessionRenew, &rpc.SessionRequest{Target: edge.Target(r), ID: id})
	if err != nil {
		return nil, edge.Remote(err)
	}
	if len(out.Sessions) == 0 {
		return nil, edge.Failed(http.StatusNotFound, "Session id '"+id+"' not found")
	}
	return out.Sessions, nil
}

func sessionsMeta(o *rpc.SessionsReply) *rpc.ReadMeta { return &o.ReadMeta }

func (s sessionAPI) info(w http.ResponseWriter, r *http.Request) (any, error) {
	id, err := edge.Item(r, "Missing session")
	if err != nil {
		return nil, err
	}
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := read(s.Base, w, r, rpc.SessionGet, &rpc.SessionGetRequest{ReadOptions: opts, ID: id}, sessionsMeta)
	if err != nil {
		return nil, err
	}
	return edge.List(out.Sessions), nil
}

func (s sessionAPI) list(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.of(w, r, "")
}

func (s sessionAPI) node(w http.ResponseWriter, r *http.Request) (any, error) {
	name, err := edge.Item(r, "Missing node name")
	if err != nil {
		return nil, err
	}
	return s.of(w, r, name)
}

func (s sessionAPI) of(w http.ResponseWriter, r *http.Request, node string) (any, error) {
	opts, err := s.ReadOptions(r)
	if err != nil {
		return nil, err
	}
	out, err := read(s.Base, w, r, rpc.SessionList, &rpc.SessionListRequest{ReadOptions: opts, Node: node}, sessionsMeta)
	if err != nil {
		return nil, err
	}
	return edge.List(out.Sessions), nil
}
