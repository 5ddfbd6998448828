package agent

import (
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
