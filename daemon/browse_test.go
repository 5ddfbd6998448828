package daemon

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// listing answers for the names of services, by token, or fails.
type listing struct {
	names map[string][]string
	err   error
}

func (l *listing) Call(_ context.Context, _ string, in, out any) error {
	if l.err != nil {
		return l.err
	}
	services := map[string][]string{}
	for _, name := range l.names[in.(*rpc.ServicesRequest).Token] {
		services[name] = nil
	}
	out.(*rpc.ServicesReply).Services = services
	return nil
}

// TestBrowse: the list of services outlives the servers, but neither its token nor a change of it.
func TestBrowse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := &listing{names: map[string][]string{"broad": {"db", "web"}, "narrow": {"web"}}}
		token := "broad"
		n := newServiceNames(servers, func() string { return token })
		look := func(what string, want []string, stale bool, kind error) {
			t.Helper()
			names, old, err := n.list(t.Context())
			if !slices.Equal(names, want) || kind == nil && (old != stale || err != nil) || !errors.Is(err, kind) {
				t.Errorf("%s: %v, stale %v, %v", what, names, old, err)
			}
		}
		later := func() {
			timer := time.NewTimer(2 * browseFresh)
			<-timer.C
		}
		look("first", []string{"db", "web"}, false, nil)
		servers.err = fault.Newf(fault.Unavailable, "no servers")
		look("fresh", []string{"db", "web"}, false, nil)
		later()
		look("without servers", []string{"db", "web"}, true, nil)
		token = "narrow"
		look("another token without servers", nil, false, fault.Unavailable)
		servers.err = nil
		token = "broad"
		look("again", []string{"db", "web"}, false, nil)
		token = "narrow"
		look("another token at once", []string{"web"}, false, nil)
		later()
		servers.err = fault.Newf(fault.Denied, "ACL not found")
		look("a deleted token", nil, false, fault.Denied)
		servers.err = fault.Newf(fault.Unavailable, "no servers")
		look("a deleted token without servers", nil, false, fault.Unavailable)
	})
}
