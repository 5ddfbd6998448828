//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"consul.internal/internal/rig"
)

const (
	managing = "6f1e4c52-7a0b-4d1c-9c33-0d7e2b8a5f10"
	// rightsPromise is how soon what was given or taken counts everywhere.
	rightsPromise = time.Second
	shop          = "shop"
	shopName      = "shop.service.consul."
	shopAddr      = "10.8.0.1"
)

// closed gives agents access control that denies, with one token that may do all, which
// is also that of who brings none.
func closed(agents []*agent) {
	for _, a := range agents {
		a.configure(map[string]any{"primary_datacenter": "dc1", "acl": map[string]any{
			"enabled": true, "default_policy": "deny", "enable_token_replication": true,
			"tokens": map[string]any{"initial_management": managing, "default": managing, "agent": managing, "replication": managing},
		}}, "acl")
	}
}

// granted is a token and what it may do.
type granted struct{ AccessorID, SecretID, policy string }

const (
	seesShop = `service "shop" { policy = "read" } node_prefix "" { policy = "read" }`
	seesNone = `node_prefix "" { policy = "read" }`
)

// grant makes a token with a policy of its own.
func (a *agent) grant(rules string) granted {
	a.lab.t.Helper()
	ctx, name := a.lab.ctx, fmt.Sprintf("p%x", a.lab.rand.Uint64())
	var out granted
	var policy struct{ ID string }
	err := a.set(ctx, "/v1/acl/policy", map[string]any{"Name": name, "Rules": rules}, &policy)
	if err == nil {
		err = a.set(ctx, "/v1/acl/token", map[string]any{"Policies": []map[string]string{{"Name": name}}}, &out)
	}
	if err != nil {
		a.lab.t.Fatal(err)
	}
	out.policy = policy.ID
	return out
}

// set sends JSON to the agent, and reads what it answers.
func (a *agent) set(ctx context.Context, path string, body, into any) error {
	out, _, err := a.do(ctx, http.MethodPut, path, body)
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		return fmt.Errorf("%s: PUT %s: %w", a.name, path, err)
	}
	return nil
}

// sees says nil when the agent, asked with a token, shows that many instances of the shop.
func (a *agent) sees(ctx context.Context, token string, want int) error {
	var list []any
	switch err := a.get(ctx, "/v1/health/service/"+shop+"?token="+token, &list); {
	case err != nil:
		return err
	case len(list) != want:
		return fmt.Errorf("%s shows %d instances", a.name, len(list))
	}
	return nil
}

// refuses says nil when the agent knows no such token.
func (a *agent) refuses(ctx context.Context, token string) error {
	switch err := a.sees(ctx, token, 0); {
	case err == nil:
		return fmt.Errorf("%s still takes the token", a.name)
	case !strings.Contains(err.Error(), "ACL not found"):
		return err
	}
	return nil
}

// everyone says nil when look does so for each agent.
func everyone(agents []*agent, look func(*agent) error) error {
	for _, a := range agents {
		if err := look(a); err != nil {
			return err
		}
	}
	return nil
}

// TestACLRevoked: a token that is deleted counts for nothing more within a second, on every
// agent: queries that wait end, and names that are followed for it are gone.
func TestACLRevoked(t *testing.T) {
	l := newLab(t, shape{servers: 3, clients: 2})
	closed(l.agents())
	for _, a := range l.agents() {
		a.start()
	}
	l.formed()
	if err := l.clients[0].place(l.ctx, "", shop, shopAddr); err != nil {
		t.Fatal(err)
	}
	var queries, names []time.Duration
	for range rounds(5, 30) {
		token := l.servers[l.rand.IntN(len(l.servers))].grant(seesShop)
		if _, err := await(l.ctx, surely, func(ctx context.Context) error {
			return everyone(l.agents(), func(a *agent) error {
				if err := a.put(ctx, "/v1/agent/token/dns", map[string]string{"Token": token.SecretID}); err != nil {
					return err
				}
				return errors.Join(a.sees(ctx, token.SecretID, 1), a.answers(ctx, shopName, shopAddr))
			})
		}); err != nil {
			t.Fatal(err)
		}
		q, n := l.revoke(token)
		queries, names = append(queries, q...), append(names, n...)
	}
	judge(t, "a token is deleted: queries that wait end", queries, rightsPromise, rightsPromise)
	judge(t, "a token is deleted: its names are gone from DNS", names, rightsPromise, rightsPromise)
}

// revoke deletes a token for which all agents follow a name and hold a query, and tells
// when each of them had let go.
func (l *lab) revoke(token granted) (queries, names []time.Duration) {
	l.t.Helper()
	type end struct {
		at  time.Time
		err error
	}
	ends := make([]end, len(l.agents()))
	var waiting sync.WaitGroup
	for i, a := range l.agents() {
		var index string
		_, head, err := a.do(l.ctx, http.MethodGet, "/v1/health/service/"+shop+"?token="+token.SecretID, nil)
		if err == nil {
			index = head.Get("X-Consul-Index")
		}
		if index == "" {
			l.t.Fatalf("%s: no index: %v", a.name, err)
		}
		waiting.Go(func() {
			_, _, err := a.do(l.ctx, http.MethodGet, "/v1/health/service/"+shop+"?wait=60s&index="+index+"&token="+token.SecretID, nil)
			ends[i] = end{time.Now(), err}
		})
	}
	pause(l.ctx, 200*time.Millisecond) // the queries have come to where they wait
	at := l.agents()[l.rand.IntN(len(l.agents()))]
	begin := time.Now()
	if _, _, err := at.do(l.ctx, http.MethodDelete, "/v1/acl/token/"+token.AccessorID, nil); err != nil {
		l.t.Fatal(err)
	}
	var mu sync.Mutex
	for _, a := range l.agents() {
		waiting.Go(func() {
			_, err := await(l.ctx, surely, func(ctx context.Context) error { return a.answers(ctx, shopName) })
			mu.Lock()
			defer mu.Unlock()
			names = append(names, time.Since(begin))
			if err != nil {
				l.t.Errorf("after its token was deleted: %v", err)
			}
		})
	}
	waiting.Wait()
	for i, e := range ends {
		if e.err == nil || !strings.Contains(e.err.Error(), "ACL not found") {
			l.t.Errorf("%s: a query whose token was deleted ends with %v", l.agents()[i].name, e.err)
		}
		queries = append(queries, e.at.Sub(begin))
	}
	return queries, names
}

// TestACLFar: what is given and taken in the primary datacenter counts in another one
// within a second, and that one goes on deciding while it is cut off.
func TestACLFar(t *testing.T) {
	w := newWAN(t, farAway, site{servers: 3}, site{servers: 3, clients: 1})
	closed(w.agents())
	w.run()
	near, far := w.dcs[0], w.dcs[1].agents()
	at := func() *agent { return near.servers[w.rand.IntN(len(near.servers))] }
	if _, err := await(w.ctx, surely, func(ctx context.Context) error {
		return errors.Join(far[0].place(ctx, "", shop, shopAddr), everyone(far, func(a *agent) error { return a.sees(ctx, managing, 1) }))
	}); err != nil {
		t.Fatal(err)
	}
	var given, changed, taken []time.Duration
	everywhere := func(what string, look func(context.Context, *agent) error) time.Duration {
		t.Helper()
		took, err := await(w.ctx, surely, func(ctx context.Context) error {
			return everyone(far, func(a *agent) error { return look(ctx, a) })
		})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return took
	}
	gone := granted{}
	for range rounds(5, 30) {
		token := at().grant(seesShop)
		given = append(given, everywhere("a new token", func(ctx context.Context, a *agent) error { return a.sees(ctx, token.SecretID, 1) }))
		if err := at().put(w.ctx, "/v1/acl/policy/"+token.policy, map[string]string{"Name": "changed-" + token.policy, "Rules": seesNone}); err != nil {
			t.Fatal(err)
		}
		changed = append(changed, everywhere("another policy", func(ctx context.Context, a *agent) error { return a.sees(ctx, token.SecretID, 0) }))
		if _, _, err := at().do(w.ctx, http.MethodDelete, "/v1/acl/token/"+token.AccessorID, nil); err != nil {
			t.Fatal(err)
		}
		taken = append(taken, everywhere("no token", func(ctx context.Context, a *agent) error { return a.refuses(ctx, token.SecretID) }))
		gone = token
	}
	judge(t, "a token of the primary counts in a secondary", given, rightsPromise, rightsPromise)
	judge(t, "a policy changed in the primary counts in a secondary", changed, rightsPromise, rightsPromise)
	judge(t, "a token deleted in the primary is gone in a secondary", taken, rightsPromise, rightsPromise)

	kept := at().grant(seesShop)
	everywhere("a token to keep", func(ctx context.Context, a *agent) error { return a.sees(ctx, kept.SecretID, 1) })
	pause(w.ctx, 2*rightsPromise) // copied, and what the primary said of it is forgotten
	w.between(func(a, b *rig.Host) { w.net.Cut(a, b) })
	n, bad := 0, []string{}
	for end := time.Now().Add(span(4*time.Second, time.Minute)); time.Now().Before(end); pause(w.ctx, 50*time.Millisecond) {
		for _, a := range far {
			n++
			if err := a.sees(w.ctx, kept.SecretID, 1); err != nil {
				bad = append(bad, err.Error())
			}
		}
	}
	figures(t, "the primary is cut off: a token that is kept", nil, "asked=%d wrong=%d", n, len(bad))
	if len(bad) > 0 {
		t.Errorf("while the primary was cut off %d of %d went wrong:\n  %s", len(bad), n, strings.Join(bad[:min(len(bad), maxBad)], "\n  "))
	}
	if err := everyone(far, func(a *agent) error {
		if a.sees(w.ctx, gone.SecretID, 1) == nil {
			return fmt.Errorf("%s takes a token that was deleted", a.name)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	w.net.HealAll()
	if _, _, err := at().do(w.ctx, http.MethodDelete, "/v1/acl/token/"+kept.AccessorID, nil); err != nil {
		t.Fatal(err)
	}
	took := everywhere("no token, the line being back", func(ctx context.Context, a *agent) error { return a.refuses(ctx, kept.SecretID) })
	figures(t, "the line is back: a token deleted in the primary is gone", []time.Duration{took}, "")
}
