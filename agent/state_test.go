package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"consul.internal/catalog"
)

// TestCompareKeepsNewTags: with EnableTagOverride the catalog's tags win, but not
// over a definition that was changed since the catalog last had it.
func TestCompareKeepsNewTags(t *testing.T) {
	s := newState(&catalog.Node{Name: "n"}, 0, func(int64) int64 { return 0 }, func() {})
	svc := func(tag string) *catalog.Service {
		return &catalog.Service{ID: "w", Name: "w", Tags: []string{tag}, EnableTagOverride: true}
	}
	tags := func() string {
		e, _ := s.service("w")
		return e.service.Tags[0]
	}
	push := func() {
		for _, j := range s.jobs() {
			s.done(j)
		}
	}
	s.apply(change{from: fromAPI, service: &servicePlan{service: svc("old")}})
	push()
	s.apply(change{from: fromAPI, service: &servicePlan{service: svc("new")}})
	s.compare(&catalog.Node{Name: "n"}, []*catalog.Service{svc("old")}, nil) // due before the change was sent
	if tags() != "new" || len(s.jobs()) == 0 {
		t.Errorf("tags %s, %d jobs: the change is lost", tags(), len(s.jobs()))
	}
	push()
	s.compare(&catalog.Node{Name: "n"}, []*catalog.Service{svc("operator")}, nil)
	if tags() != "operator" {
		t.Errorf("tags %s: the catalog's are not taken over", tags())
	}
}

// TestDamagedServiceKeepsItsChecks: a service whose file cannot be read for a
// while must not come back without what guards it.
func TestDamagedServiceKeepsItsChecks(t *testing.T) {
	dir := t.TempDir()
	open := func() *Local {
		t.Helper()
		l, err := New(Config{NodeName: "n", Address: "10.0.0.1", DataDir: dir}, Deps{Caller: noServers{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		return l
	}
	shut := func(l *Local) {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l := open()
	def, err := DecodeService(strings.NewReader(`{"Name":"web","Port":1,"Check":{"TTL":"1h"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.RegisterService(def, RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "services", fileName("web"))
	shut(l)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range [][]byte{[]byte("x"), nil} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		l = open()
		if len(l.Services()) != 0 || len(l.Checks()) != 0 {
			t.Errorf("of a damaged file: %v %v", l.Services(), l.Checks())
		}
		shut(l)
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open()
	if l.Services()["web"] == nil || l.Checks()["service:web"] == nil {
		t.Errorf("after the repair: %v %v", l.Services(), l.Checks())
	}
	shut(l)
}

// noServers is the way to servers that are not there.
type noServers struct{}

func (noServers) Call(context.Context, string, any, any) error { return errors.New("nobody is there") }
