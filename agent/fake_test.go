package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/fault"
	"consul.internal/rpc"
)

// servers is an rpc.Caller with a catalog of one node, and a log of writes.
type servers struct {
	start time.Time

	mu       sync.Mutex
	err      error            // what every call fails with
	deny     map[string]error // by service or check ID
	node     *catalog.Node
	services map[string]*catalog.Service
	checks   map[string]*catalog.Check
	other    map[string]*catalog.Check // checks of the node "other"
	emptied  bool                      // "other" has lost its service
	// how new the checks and the services of "other" are
	checksAt, servicesAt mark
	calls                []string
}

// mark is an index that one can wait for to move.
type mark struct {
	index uint64
	bell  chan struct{}
}

func newMark() mark { return mark{1, make(chan struct{})} }

func (m *mark) move(to uint64) {
	m.index = to
	close(m.bell)
	m.bell = make(chan struct{})
}

func newServers() *servers {
	return &servers{start: time.Now(), services: map[string]*catalog.Service{}, checks: map[string]*catalog.Check{},
		other: map[string]*catalog.Check{}, deny: map[string]error{}, checksAt: newMark(), servicesAt: newMark()}
}

func (s *servers) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *servers) note(format string, args ...any) {
	s.calls = append(s.calls, fmt.Sprintf("%s ", time.Since(s.start))+fmt.Sprintf(format, args...))
}

// take returns the writes since the last call.
func (s *servers) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.calls
	s.calls = nil
	return out
}

// holds lists what the catalog has: "service web", "check x=critical".
func (s *servers) holds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(s.services)) {
		out = append(out, "service "+id)
	}
	for _, id := range slices.Sorted(maps.Keys(s.checks)) {
		out = append(out, "check "+id+"="+string(s.checks[id].Status))
	}
	return out
}

// check, service and self read one entry of the catalog.
func (s *servers) check(id string) *catalog.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checks[id]
}

func (s *servers) service(id string) *catalog.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[id]
}

func (s *servers) self() *catalog.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

func (s *servers) Call(ctx context.Context, method string, in, out any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		s.note("failed %s", method)
		return s.err
	}
	switch in := in.(type) {
	case *rpc.RegisterRequest:
		return s.register(in)
	case *rpc.DeregisterRequest:
		if err := s.deny[in.ServiceID+in.CheckID]; err != nil {
			return err
		}
		s.note("deregister %s%s", in.ServiceID, in.CheckID)
		delete(s.services, in.ServiceID)
		delete(s.checks, in.CheckID)
		maps.DeleteFunc(s.checks, func(_ string, c *catalog.Check) bool { return in.ServiceID != "" && c.ServiceID == in.ServiceID })
		return nil
	case *rpc.NodeRequest:
		return s.read(ctx, method, in, out)
	}
	return fault.Newf(fault.Invalid, "method %s is not known", method)
}

func (s *servers) register(in *rpc.RegisterRequest) error {
	var what []string
	if in.Service != nil {
		if err := s.deny[in.Service.ID]; err != nil {
			return err
		}
		what = append(what, in.Service.ID)
	}
	for _, c := range in.Checks {
		if err := s.deny[c.CheckID]; err != nil {
			return err
		}
		what = append(what, c.CheckID+"="+string(c.Status))
	}
	if !in.SkipNodeUpdate || s.node == nil {
		s.node = in.Node
	}
	if !in.SkipNodeUpdate {
		what = append(what, "node")
	}
	if in.Token != "" {
		what = append(what, "token:"+in.Token)
	}
	if in.Service != nil {
		s.services[in.Service.ID] = in.Service
	}
	for _, c := range in.Checks {
		s.checks[c.CheckID] = c
	}
	s.note("register %s", strings.Join(what, " "))
	return nil
}

func (s *servers) read(ctx context.Context, method string, in *rpc.NodeRequest, out any) error {
	m := &s.checksAt
	if method == rpc.CatalogNode.Name {
		m = &s.servicesAt
	}
	if in.Node == "other" && in.MinIndex >= m.index {
		bell := m.bell
		s.mu.Unlock()
		select {
		case <-bell:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	switch out := out.(type) {
	case *rpc.NodeReply:
		out.Node = s.node
		if in.Node == "other" {
			out.Node, out.Index = &catalog.Node{Name: "other"}, m.index
			if !s.emptied {
				out.Services = []*catalog.Service{{ID: "db"}}
			}
			return nil
		}
		for _, id := range slices.Sorted(maps.Keys(s.services)) {
			out.Services = append(out.Services, s.services[id])
		}
	case *rpc.ChecksReply:
		from := s.checks
		if in.Node == "other" {
			from, out.Index = s.other, m.index
		}
		for _, id := range slices.Sorted(maps.Keys(from)) {
			out.Checks = append(out.Checks, from[id])
		}
	default:
		return fmt.Errorf("%s into %T", method, out)
	}
	return nil
}

func (s *servers) setOther(checks ...*catalog.Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.other)
	for _, c := range checks {
		s.other[c.CheckID] = c
	}
	s.checksAt.move(max(s.checksAt.index, s.servicesAt.index) + 1)
}

// emptyOther takes the service of "other" away, and no check.
func (s *servers) emptyOther() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emptied = true
	s.servicesAt.move(max(s.checksAt.index, s.servicesAt.index) + 1)
}

// testConfig is a node "n1" that persists nothing.
func testConfig() Config {
	cfg := DefaultConfig()
	cfg.NodeName, cfg.NodeID, cfg.Address, cfg.Version = "n1", "id-1", "10.0.0.1", "1.21.0"
	cfg.EnableScriptChecks = true
	return cfg
}

type testLocal struct {
	*Local
	t    *testing.T
	logs *observer.ObservedLogs
}

// open makes a Local and opens it; the test closes it at its end, if not before.
func open(t *testing.T, s *servers, cfg Config) *testLocal {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	l, err := New(cfg, Deps{Caller: s, Logger: zap.New(core), Rand: func(n int64) int64 { return n / 2 }})
	if err != nil {
		t.Fatal(err)
	}
	out := &testLocal{l, t, logs}
	t.Cleanup(out.close)
	if err := l.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	return out
}

func (l *testLocal) close() {
	if err := l.Close(); err != nil {
		l.t.Error(err)
	}
}

func (l *testLocal) logged(message string) int { return l.logs.FilterMessage(message).Len() }

// service registers what a JSON body says.
func (l *testLocal) service(body string) {
	l.t.Helper()
	def, err := DecodeService(strings.NewReader(body))
	if err == nil {
		err = l.RegisterService(def, RegisterOptions{})
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *testLocal) check(body string) {
	l.t.Helper()
	def, err := DecodeCheck(strings.NewReader(body))
	if err == nil {
		err = l.RegisterCheck(def)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *testLocal) ttl(id string, status catalog.Status, output string) {
	l.t.Helper()
	if err := l.UpdateTTL(id, status, output); err != nil {
		l.t.Fatal(err)
	}
}

func want(t *testing.T, what string, got []string, wanted ...string) {
	t.Helper()
	if !slices.Equal(got, wanted) {
		t.Errorf("%s\n%q\nwant\n%q", what, got, wanted)
	}
}

// states lists the checks as "id=status output".
func (l *testLocal) states() []string {
	all := l.Checks()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(all)) {
		out = append(out, strings.TrimSpace(id+"="+string(all[id].Status)+" "+all[id].Output))
	}
	return out
}

func ttlCheck(id string, ttl time.Duration) checks.Definition {
	return checks.Definition{ID: id, Name: id, TTL: ttl}
}
