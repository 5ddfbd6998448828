package daemon_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"consul.internal/internal/aclmatrix"
	"github.com/hashicorp/consul/api"
)

// blockable are the rows of reads that can wait for a change, with the index of what
// they read now.
func (m *matrix) blockable(c *http.Client, rows []*httpRow) (reads []*httpRow) {
	m.t.Helper()
	for _, r := range rows {
		if r.method != http.MethodGet || r.stream || r.once || len(r.takes) == 0 {
			continue
		}
		a, err := m.request(c, r, &bearer{secret: rootToken}, "")
		if err != nil {
			m.t.Fatal(err)
		}
		if a.header.Get("X-Consul-Index") != "" {
			reads = append(reads, r)
		}
	}
	if len(reads) < 50 {
		m.t.Fatalf("only %d reads can wait", len(reads))
	}
	return reads
}

// TestBlockingMatrix: a read that could wait is decided as one that does not, whether
// it is answered at once or after its wait.
func TestBlockingMatrix(t *testing.T) {
	rows, m, c := readHTTPMatrix(t), newMatrix(t), newHTTPClient(t)
	reads := m.blockable(c, rows)
	var ways []aclmatrix.Ways
	for _, r := range reads {
		ways = append(ways, r.takes)
	}
	bearers, asked := m.bearers(ways), 0
	for _, r := range reads {
		t.Run(r.name(), func(t *testing.T) {
			text := m.fill(r.text)
			for _, b := range near(r, bearers) {
				for _, query := range []string{"index=1", ""} {
					if query == "" { // the index that there is: it waits for the shortest time that can be
						a, err := m.request(c, r, bearers[0], "")
						if err != nil {
							t.Fatal(err)
						}
						query = "wait=1ns&index=" + a.header.Get("X-Consul-Index")
					}
					a, err := m.request(c, r, b, query)
					if err != nil {
						t.Fatal(err)
					}
					asked++
					if what := r.judge(b, a, text); what != "" {
						t.Errorf("line %d: %s: %s %s: %d %.300s", r.line, query, b.name, what, a.status, a.body)
					}
				}
			}
		})
	}
	t.Logf("%d requests", asked)
}

// near are those with rights to what a row takes rights to, and those with none.
func near(r *httpRow, bearers []*bearer) []*bearer {
	return slices.DeleteFunc(slices.Clone(bearers), func(b *bearer) bool {
		return len(b.Rights) > 0 && !slices.ContainsFunc(b.Rights, func(have aclmatrix.Right) bool {
			return slices.ContainsFunc(r.takes, func(way []aclmatrix.Right) bool {
				return slices.ContainsFunc(way, func(want aclmatrix.Right) bool { return have.Resource == want.Resource })
			})
		})
	})
}

var waitingQueries = regexp.MustCompile(`(?m)^consul_rpc_queries_blocking (\d+)$`)

// waiting is how many queries wait at the server now.
func (m *matrix) waiting(c *http.Client) int {
	m.t.Helper()
	a, err := m.request(c, &httpRow{method: "GET", path: "/v1/agent/metrics?format=prometheus"}, &bearer{secret: rootToken}, "")
	if err != nil {
		m.t.Fatal(err)
	}
	found := waitingQueries.FindStringSubmatch(a.body)
	if len(found) != 2 {
		m.t.Fatalf("no figure of blocked queries in %d %.200s", a.status, a.body)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// blocked is a query that waits for a change, in the name of a token that is going to
// be taken away, or its rights.
type blocked struct {
	row   *httpRow
	how   string
	token *api.ACLToken
	gone  atomic.Bool
	ended chan *answer
}

// block has a query wait. Whatever changes by itself meanwhile is waited for again.
func (m *matrix) block(c *http.Client, r *httpRow, how string) *blocked {
	m.t.Helper()
	w := &blocked{row: r, how: how, ended: make(chan *answer, 1)}
	w.token = m.newToken(m.t, "revoked-"+strconv.FormatUint(m.made.Add(1), 10), aclmatrix.Both(r.takes[0]).Rules)
	b := &bearer{secret: w.token.SecretID}
	a, err := m.request(c, r, b, "")
	if err != nil || !strings.Contains(a.body, m.fill(r.text)) || a.lacks() {
		m.t.Fatalf("line %d: before: %v %+v", r.line, err, a)
	}
	go func() {
		for ended := false; !ended; ended = w.gone.Load() || a.status == http.StatusForbidden {
			next, err := m.request(c, r, b, "wait=5m&index="+a.header.Get("X-Consul-Index"))
			if err != nil {
				next = &answer{body: err.Error(), status: http.StatusForbidden}
			}
			a = next
		}
		w.ended <- a
	}()
	return w
}

// revoke takes away what the query was asked with, and looks at how it ends.
func (m *matrix) revoke(t *testing.T, w *blocked) {
	w.gone.Store(true)
	var err error
	want := "ACL not found"
	if w.how == "token" {
		_, err = m.client.ACL().TokenDelete(w.token.AccessorID, nil)
	} else {
		want = "lacks permission"
		p := w.token.Policies[0]
		_, _, err = m.client.ACL().PolicyUpdate(&api.ACLPolicy{ID: p.ID, Name: p.Name}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if w.row.path == "/v1/event/list" { // which ends with the next event
		if _, _, err := m.client.Event().Fire(&api.UserEvent{Name: "e"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if a := <-w.ended; a.status != http.StatusForbidden || !strings.Contains(a.body, want) {
		t.Errorf("line %d: after the %s went: %d %.300s", w.row.line, w.how, a.status, a.body)
	}
}

// TestRevokedWhileBlocked has a query wait for each read, in the name of who has just
// the rights that it takes, and takes the token or its rights away: the query ends at
// once with a refusal.
func TestRevokedWhileBlocked(t *testing.T) {
	rows, m, c := readHTTPMatrix(t), newMatrix(t), newHTTPClient(t)
	reads, idle := m.blockable(c, rows), m.waiting(c)
	var waiting []*blocked
	var soon []*httpRow // what every change of tokens changes is asked for when all others have ended
	seen := map[string]bool{}
	for _, r := range slices.Backward(reads) { // the last row of a path takes the most
		switch {
		case seen[r.path], strings.HasSuffix(r.path, "/execute"), strings.HasSuffix(r.path, "/explain"): // these never wait
			continue
		case strings.HasPrefix(r.path, "/v1/acl/"):
			soon = append(soon, r)
		default:
			waiting = append(waiting, m.block(c, r, "token"))
			if r.otherwise == "refused" {
				waiting = append(waiting, m.block(c, r, "rights"))
			}
		}
		seen[r.path] = true
	}
	want := idle + len(waiting) - 1 // that for events waits in the agent
	m.await(t, "the queries to wait", func() bool { return m.waiting(c) >= want })
	for _, w := range waiting {
		t.Run(w.how+" "+w.row.name(), func(t *testing.T) { m.revoke(t, w) })
	}
	for _, r := range soon {
		for _, how := range []string{"token", "rights"} {
			t.Run(how+" "+r.name(), func(t *testing.T) { m.revoke(t, m.block(c, r, how)) })
		}
	}
	t.Logf("%d queries", len(waiting)+2*len(soon))
}

// TestRevokedWhileServiceIsAwaited: who waits for a change of one service of the agent,
// by its hash, and loses the right, is not told of the change.
func TestRevokedWhileServiceIsAwaited(t *testing.T) {
	m, c := newMatrix(t), newHTTPClient(t)
	token := m.newToken(t, "awaits", `service "app" { policy = "read" }`)
	r, b := &httpRow{method: "GET", path: "/v1/agent/service/app1"}, &bearer{secret: token.SecretID}
	a, err := m.request(c, r, b, "")
	if err != nil || a.status != http.StatusOK {
		t.Fatal(err, a)
	}
	ended := make(chan *answer, 1)
	go func() {
		a, err := m.request(c, r, b, "wait=5m&hash="+a.header.Get("X-Consul-Contenthash"))
		if err != nil {
			a = &answer{body: err.Error()}
		}
		ended <- a
	}()
	if _, err := m.client.ACL().TokenDelete(token.AccessorID, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.client.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "app1", Name: "app", Port: 99}); err != nil {
		t.Fatal(err)
	}
	if a := <-ended; a.status != http.StatusForbidden {
		t.Errorf("%d %s", a.status, a.body)
	}
}
