package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/acl"
	"consul.internal/catalog"
	"consul.internal/internal/aclmatrix"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
	"consul.internal/server"
	"consul.internal/store"
	"consul.internal/view"
)

// row is one line of testdata/acl_matrix.txt.
type row struct {
	door, op, kase string
	takes          aclmatrix.Ways
	otherwise      string
	line           int
}

func (r *row) name() string { return strings.TrimSpace(r.op + " " + r.kase) }

func readMatrix(t *testing.T) (rows []*row) {
	t.Helper()
	lines, err := aclmatrix.Read("testdata/acl_matrix.txt", 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		r := &row{door: l.Cells[0], op: l.Cells[1], kase: l.Cells[2], otherwise: l.Cells[4], line: l.Number}
		if r.takes, err = aclmatrix.ParseWays(l.Cells[3]); err != nil {
			t.Fatalf("line %d: %v", r.line, err)
		}
		if !slices.Contains([]string{"refused", "hidden", "asked", "-"}, r.otherwise) || (len(r.takes) == 0) != (r.otherwise == "-") {
			t.Fatalf("line %d: %q: what is free has nothing to refuse", r.line, r.otherwise)
		}
		rows = append(rows, r)
	}
	return rows
}

// things of the fixture that rules speak of, by resource.
func things() map[string][]string {
	return map[string][]string{
		"agent": {"n1"}, "event": {"e"}, "intention": {"web"}, "key": {"k/a", "k/b", "k/none"}, "node": {"n1", "n9"},
		"query": {"q", "q9"}, "service": {"web", "db", "gate"}, "session": {"n1"},
	}
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
		aclmatrix.Grant
		name, secret string
	}
	bearers := []bearer{{name: "anonymous"}, {name: "no rules", secret: m.token("nothing", "")}}
	var ways []aclmatrix.Ways
	for _, row := range rows {
		ways = append(ways, row.takes)
	}
	order, grants := aclmatrix.Grants(things(), ways)
	for i, name := range order {
		bearers = append(bearers, bearer{grants[name], name, m.token(fmt.Sprintf("p%d", i), grants[name].Rules)})
	}

	asked := 0
	for _, r := range rows {
		t.Run(r.name(), func(t *testing.T) {
			passed := false
			for _, b := range bearers {
				m.reset(t)
				seen, err := calls[r.name()](m, b.secret)
				asked++
				want := b.Suffices(r.takes)
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
