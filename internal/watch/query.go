package watch

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// Query says what to follow. Which fields count depends on Type.
type Query struct {
	Type        string // key, keyprefix, services, nodes, service, checks or event
	Datacenter  string // "" = the agent's own
	Token       string // "" = the client's
	Stale       bool   // any server may answer
	Key         string
	Prefix      string
	Service     string
	Tags        []string // an instance must have all of them
	PassingOnly bool
	State       string // of checks: passing, warning, critical or any
	Name        string // of events; "" = all
	Filter      string // an expression over what is answered
}

// Types are all there are, in the order in which they are documented.
func Types() []string {
	return []string{"key", "keyprefix", "services", "nodes", "service", "checks", "event"}
}

// Check says what is missing or contradicts itself.
func (q *Query) Check() error {
	switch q.Type {
	case "":
		return errors.New("Watch type must be specified")
	case "key":
		if q.Key == "" {
			return errors.New("Must specify a single key to watch")
		}
	case "keyprefix":
		if q.Prefix == "" {
			return errors.New("Must specify a single prefix to watch")
		}
	case "service":
		if q.Service == "" {
			return errors.New("Must specify a single service to watch")
		}
	case "checks":
		if q.Service != "" && q.State != "" {
			return errors.New("Cannot specify service and state")
		}
	case "services", "nodes", "event":
	default:
		return fmt.Errorf("Unsupported watch type: %s", q.Type)
	}
	for _, f := range []struct {
		name  string
		given bool
		types [2]string
	}{
		{"key", q.Key != "", [2]string{"key"}}, {"prefix", q.Prefix != "", [2]string{"keyprefix"}},
		{"service", q.Service != "", [2]string{"service", "checks"}}, {"tag", len(q.Tags) > 0, [2]string{"service"}},
		{"passingonly", q.PassingOnly, [2]string{"service"}}, {"state", q.State != "", [2]string{"checks"}},
		{"name", q.Name != "", [2]string{"event"}},
	} {
		if f.given && q.Type != f.types[0] && q.Type != f.types[1] {
			return fmt.Errorf("Invalid parameters: %s is nothing that a watch of type %s knows", f.name, q.Type)
		}
	}
	if q.Filter != "" && (q.Type == "key" || q.Type == "keyprefix" || q.Type == "event") {
		return fmt.Errorf("Invalid parameters: a watch of type %s has no filter", q.Type)
	}
	return nil
}

// fetch asks once, and waits at the server until the answer is newer than after.
func (q *Query) fetch(ctx context.Context, client *api.Client, after uint64) (any, uint64, error) {
	opts := (&api.QueryOptions{
		Datacenter: q.Datacenter, Token: q.Token, AllowStale: q.Stale, Filter: q.Filter, WaitIndex: after,
	}).WithContext(ctx)
	switch q.Type {
	case "key":
		pair, meta, err := client.KV().Get(q.Key, opts)
		if pair == nil {
			return told(nil, meta, err)
		}
		return told(pair, meta, err)
	case "keyprefix":
		pairs, meta, err := client.KV().List(q.Prefix, opts)
		return told(pairs, meta, err)
	case "services":
		services, meta, err := client.Catalog().Services(opts)
		return told(services, meta, err)
	case "nodes":
		nodes, meta, err := client.Catalog().Nodes(opts)
		return told(nodes, meta, err)
	case "service":
		entries, meta, err := client.Health().ServiceMultipleTags(q.Service, q.Tags, q.PassingOnly, opts)
		return told(entries, meta, err)
	case "checks":
		return q.checks(client, opts)
	}
	events, meta, err := client.Event().List(q.Name, opts)
	for i, e := range events {
		if client.Event().IDToIndex(e.ID) == after {
			events = events[i+1:] // the others were told before
			break
		}
	}
	return told(events, meta, err)
}

func (q *Query) checks(client *api.Client, opts *api.QueryOptions) (any, uint64, error) {
	if q.Service != "" {
		checks, meta, err := client.Health().Checks(q.Service, opts)
		return told(checks, meta, err)
	}
	state := q.State
	if state == "" {
		state = api.HealthAny
	}
	checks, meta, err := client.Health().State(state, opts)
	return told(checks, meta, err)
}

func told(v any, meta *api.QueryMeta, err error) (any, uint64, error) {
	if err != nil {
		return nil, 0, err
	}
	return v, meta.LastIndex, nil
}
