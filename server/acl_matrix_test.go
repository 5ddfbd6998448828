package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/store"
	"consul.internal/view"
)

// right is one thing that somebody may do. The name "*" is all names.
type right struct{ resource, access, name string }

// row is one line of testdata/acl_matrix.txt.
type row struct {
	door, op, kase string
	ways           [][]right // one of them is enough, each takes all of its rights; none: it is free
	otherwise      string
	source         string
	line           int
}

func (r *row) name() string { return strings.TrimSpace(r.op + " " + r.kase) }

func readMatrix(t *testing.T) (rows []*row) {
	t.Helper()
	f, err := os.Open("testdata/acl_matrix.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		cells := strings.Split(text, "|")
		if len(cells) != 6 {
			t.Fatalf("line %d has %d columns", n, len(cells))
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		r := &row{door: cells[0], op: cells[1], kase: cells[2], otherwise: cells[4], source: cells[5], line: n}
		if r.source == "" || !slices.Contains([]string{"refused", "hidden", "asked", "-"}, r.otherwise) {
			t.Fatalf("line %d: %q, %q", n, r.otherwise, r.source)
		}
		if cells[3] != "none" {
			for _, way := range strings.Split(cells[3], " or ") {
				var all []right
				for _, one := range strings.Split(way, "+") {
					what, name, _ := strings.Cut(strings.TrimSpace(one), " ")
					resource, access, ok := strings.Cut(what, ":")
					if !ok {
						t.Fatalf("line %d: %q", n, one)
					}
					all = append(all, right{resource, access, name})
				}
				r.ways = append(r.ways, all)
			}
		}
		if (len(r.ways) == 0) != (r.otherwise == "-") {
			t.Fatalf("line %d: what is free has nothing to refuse", n)
		}
		rows = append(rows, r)
	}
	return rows
}

// grant is the rules of a token, and the rights that they give.
type grant struct {
	rules  string
	rights []right
}

func (g *grant) gives(want right) bool {
	return slices.ContainsFunc(g.rights, func(have right) bool {
		return have.resource == want.resource && (have.access == "write" || have.access == want.access || have.access == "list" && want.access == "read") && (have.name == "*" || have.name == want.name)
	})
}

func (g *grant) suffices(r *row) bool {
	if len(r.ways) == 0 {
		return true
	}
	return slices.ContainsFunc(r.ways, func(way []right) bool {
		return !slices.ContainsFunc(way, func(w right) bool { return !g.gives(w) })
	})
}

// one is the rules that give one right, and what they give.
func one(r right) grant {
	switch r.resource {
	case "acl", "keyring", "operator", "mesh", "peering":
		g := grant{fmt.Sprintf("%s = %q\n", r.resource, r.access), []right{r}}
		if r.resource == "operator" { // speaks of these two where no rule does
			g.rights = append(g.rights, right{"mesh", r.access, ""}, right{"peering", r.access, ""})
		}
		return g
	case "intention":
		// It is part of a service's rule, which must say something of the service too.
		g := one(right{"service", "read", r.name})
		g.rules = strings.Replace(g.rules, "}", fmt.Sprintf(" intentions = %q }", r.access), 1)
		g.rights = append(g.rights, r)
		return g
	}
	head := fmt.Sprintf("%s %q", r.resource, r.name)
	if r.name == "*" {
		head = r.resource + `_prefix ""`
	}
	g := grant{fmt.Sprintf("%s { policy = %q }\n", head, r.access), []right{r}}
	if r.resource == "service" {
		g.rights = append(g.rights, right{"intention", "read", r.name})
	}
	return g
}

// everyRight are all rights that there are, one at a time: to the things of the
// fixture, to others, and to all.
func everyRight() (all []right) {
	for _, access := range []string{"read", "write"} {
		for _, whole := range []string{"acl", "keyring", "operator", "mesh", "peering"} {
			all = append(all, right{whole, access, ""})
		}
		for resource, names := range map[string][]string{
			"agent": {"n1"}, "event": {"e"}, "intention": {"web"}, "key": {"k/a", "k/b", "k/none"}, "node": {"n1", "n9"},
			"query": {"q", "q9"}, "service": {"web", "db", "gate"}, "session": {"n1"},
		} {
			for _, name := range append(names, "elsewhere", "*") {
				all = append(all, right{resource, access, name})
			}
		}
	}
	return append(all, right{"key", "list", "k/a"}, right{"key", "list", "*"})
}

// matrix is a server with one of everything.
type matrix struct {
	*server.Server
	t       *testing.T
	st      *store.Store
	session string
	query   string // named
	unnamed string
	tokened string // with a token of its own
	clean   uint64 // index of the state at which all is as it should be
}

func newMatrix(t *testing.T) *matrix {
	m := &matrix{t: t}
	m.Server, m.st = openAs(t, true, 20*time.Second, func(c *server.Config, d *server.Deps) {
		c.ACL = server.ACL{Enabled: true, InitialManagement: master}
		d.Pools, d.Abroad = noPools{}, noAbroad{}
		dir := view.NewDirectory()
		dir.SetReady()
		d.Feed = view.NewFeed(view.DefaultFeedConfig(), view.FeedDeps{
			Origin: func() (string, uint64) { return "c", 1 }, LeaderAge: func() time.Duration { return 0 },
			Judge: func(ctx context.Context, secret string) (view.Sight, error) { return m.Judge(ctx, secret) },
		}, dir)
		d.Feed.Apply(catalog.Batch{Index: 1, Changes: []catalog.Change{
			{Op: catalog.NodeSet, Node: n1()}, {Op: catalog.InstanceSet, Instance: &catalog.Instance{Node: n1(), Service: web()}},
		}})
	})
	m.BootstrapACL(t.Context())
	return m
}

// noPools does what is asked of the pools by saying so.
type noPools struct{}

func (noPools) Keyring(context.Context, *rpc.KeyringRequest) []rpc.KeyringPool { return nil }
func (noPools) ForceLeave(context.Context, *rpc.ForceLeaveRequest) error       { return nil }
func (noPools) Coordinates() []rpc.CoordinateDatacenter                        { return nil }
func (noPools) Fire(string, []byte) error                                      { return nil }

type noAbroad struct{}

func (noAbroad) Datacenters() []string         { return []string{"dc1"} }
func (noAbroad) ForgetDatacenter(string) error { return nil }
func (noAbroad) Follow(context.Context, string, bool, rpc.Conversation) error {
	return fault.Newf(fault.NotFound, "there is none")
}

// refused reports whether an error is the refusal of a right.
func refused(err error) bool {
	return errors.Is(err, fault.Denied) && strings.Contains(err.Error(), "lacks permission")
}

// token makes a token with rules and returns its secret.
func (m *matrix) token(name, rules string) string {
	p := policy(m.t, m, name, rules)
	return do(m.t, m, rpc.ACLTokenSet, &rpc.ACLTokenSetRequest{ACLWrite: writing(master), Set: acl.Token{Policies: []acl.Link{{ID: p.ID}}}}).Token.SecretID
}

// TestMatrix calls every operation with every single right, with all that a row
// names together, and with none: exactly those that the table names pass.
func TestMatrix(t *testing.T) {
	rows := readMatrix(t)
	m := newMatrix(t)
	calls := m.calls()
	checkCovered(t, rows, calls)

	type bearer struct {
		grant
		name, secret string
	}
	bearers := []bearer{{name: "anonymous"}, {name: "no rules", secret: m.token("nothing", "")}}
	add := func(name string, g grant) {
		if slices.ContainsFunc(bearers, func(b bearer) bool { return b.name == name }) {
			return
		}
		bearers = append(bearers, bearer{g, name, m.token(fmt.Sprintf("p%d", len(bearers)), g.rules)})
	}
	for _, r := range everyRight() {
		add(fmt.Sprint(r), one(r))
	}
	for _, row := range rows {
		for _, way := range row.ways {
			if len(way) < 2 {
				continue
			}
			var sum grant
			for _, r := range way {
				g := one(r)
				sum.rules, sum.rights = sum.rules+g.rules, append(sum.rights, g.rights...)
			}
			add(fmt.Sprint(way), sum)
		}
	}

	asked := 0
	for _, r := range rows {
		if r.door == "http" {
			continue
		}
		t.Run(r.name(), func(t *testing.T) {
			passed := false
			for _, b := range bearers {
				m.reset(t)
				seen, err := calls[r.name()](m, b.secret)
				asked++
				want := b.suffices(r)
				passed = passed || want
				got := !refused(err)
				if r.otherwise == "hidden" {
					if err != nil {
						t.Errorf("%s: %v", b.name, err)
					}
					got = seen
				} else if err != nil && got && errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", b.name, err) // it has not been answered at all
				}
				if got != want {
					t.Errorf("line %d: %s passes: %v, want %v (%v)", r.line, b.name, got, want, err)
				}
			}
			if !passed {
				t.Error("no token of the test has what it takes")
			}
		})
	}
	t.Logf("%d calls in the name of %d tokens", asked, len(bearers))
}

// checkCovered makes sure that every method has a row, and every row a call.
func checkCovered(t *testing.T, rows []*row, calls map[string]func(*matrix, string) (bool, error)) {
	t.Helper()
	methods := map[string]bool{}
	for name := range rpc.All() {
		methods[name] = false
	}
	for _, name := range []string{rpc.ViewFollow.Name, rpc.SnapshotSave.Name, rpc.SnapshotRestore.Name} {
		methods[name] = false
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if r.door == "http" {
			continue
		}
		if _, known := methods[r.op]; !known {
			t.Errorf("line %d: there is no %s", r.line, r.op)
		}
		methods[r.op] = true
		if calls[r.name()] == nil {
			t.Fatalf("line %d: nobody knows how to call %q", r.line, r.name())
		}
		if seen[r.name()] {
			t.Errorf("line %d: %q stands there twice", r.line, r.name())
		}
		seen[r.name()] = true
	}
	for name, has := range methods {
		if !has {
			t.Errorf("%s has no row in testdata/acl_matrix.txt: say what it takes, and where that is written", name)
		}
	}
	for name := range calls {
		if !seen[name] {
			t.Errorf("the call %q has no row", name)
		}
	}
}
