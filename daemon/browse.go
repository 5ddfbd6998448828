package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// browseFresh is how long a list of services is given out again: people browse
// them, and no question for them may become a call each.
const browseFresh = time.Second

// serviceNames are the services of the own datacenter for DNS-SD, as they were a
// moment ago.
type serviceNames struct {
	caller rpc.Caller
	token  func() string
	turn   chan struct{} // held by who looks at what is below
	names  []string
	of     string // the token that they were listed with
	at     time.Time
}

func newServiceNames(c rpc.Caller, token func() string) *serviceNames {
	return &serviceNames{caller: c, token: token, turn: make(chan struct{}, 1)}
}

// list gives an older list where no server gives a new one, but never that of
// another token or of one that is none any more.
func (n *serviceNames) list(ctx context.Context) (names []string, stale bool, err error) {
	select {
	case n.turn <- struct{}{}:
		defer func() { <-n.turn }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	token := n.token()
	if token != n.of { // which may see less
		n.names, n.of = nil, token
	}
	if n.names != nil && time.Since(n.at) < browseFresh {
		return n.names, false, nil
	}
	out, err := rpc.Call(ctx, n.caller, rpc.CatalogServices, &rpc.ServicesRequest{ReadOptions: rpc.ReadOptions{
		Target: rpc.Target{Token: token}, Consistency: rpc.Stale,
	}})
	if errors.Is(err, fault.Denied) { // the token is gone, and what it saw with it
		n.names = nil
	}
	if err != nil {
		return n.names, true, unlessKnown(n.names, err)
	}
	n.names, n.at = slices.Sorted(maps.Keys(out.Services)), time.Now()
	return n.names, false, nil
}

func unlessKnown(names []string, err error) error {
	if names != nil {
		return nil
	}
	return err
}
