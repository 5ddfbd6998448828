package catalog_test

import (
	"strings"
	"testing"

	"consul.internal/catalog"
)

func TestStatus(t *testing.T) {
	ok, warn, crit := &catalog.Check{Status: catalog.Passing}, &catalog.Check{Status: catalog.Warning}, &catalog.Check{Status: catalog.Critical}
	for _, tt := range []struct {
		checks  []*catalog.Check
		warning int // the weight in state warning
		want    catalog.Status
		weight  int
	}{
		{nil, 2, catalog.Passing, 5},
		{[]*catalog.Check{ok}, 2, catalog.Passing, 5},
		{[]*catalog.Check{ok, warn, ok}, 2, catalog.Warning, 2},
		{[]*catalog.Check{ok, warn, ok}, 0, catalog.Warning, 0},
		{[]*catalog.Check{warn, crit, ok}, 2, catalog.Critical, 5},
	} {
		i := &catalog.Instance{Service: &catalog.Service{Weights: catalog.Weights{Passing: 5, Warning: tt.warning}}, Checks: tt.checks}
		if i.Status() != tt.want || i.Weight() != tt.weight {
			t.Errorf("status %s weight %d, want %s %d", i.Status(), i.Weight(), tt.want, tt.weight)
		}
	}
}

func TestNames(t *testing.T) {
	if got := catalog.Fold("WeB-É"); got != "web-É" {
		t.Errorf("Fold = %q", got)
	}
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"Web", "wEB", true}, {"web", "webs", false}, {"a[", "A{", false}, {"", "", true}} {
		if catalog.EqualFold(tt.a, tt.b) != tt.want {
			t.Errorf("EqualFold(%q, %q) != %v", tt.a, tt.b, tt.want)
		}
	}
	for name, want := range map[string]bool{
		"web": true, "a-1": true, "": false, "-a": false, "a-": false, "my_service": false, "a.b": false,
		strings.Repeat("a", 63): true, strings.Repeat("a", 64): false,
	} {
		if catalog.ValidDNSLabel(name) != want {
			t.Errorf("ValidDNSLabel(%q) != %v", name, want)
		}
	}
}

func TestSameContent(t *testing.T) {
	a, b := fullInstance(), fullInstance()
	b.Node.ModifyIndex, b.Service.ModifyIndex, b.Checks[0].ModifyIndex = 9, 9, 9
	if !a.Node.SameContent(b.Node) || !a.Service.SameContent(b.Service) || !a.Checks[0].SameContent(b.Checks[0]) {
		t.Error("an index counts as content")
	}
	b.Node.Meta["os"] = "bsd"
	b.Service.Proxy.MeshGateway = catalog.Object{"Mode": "local"}
	b.Checks[0].Definition.Header["X"][0] = "z"
	if a.Node.SameContent(b.Node) || a.Service.SameContent(b.Service) || a.Checks[0].SameContent(b.Checks[0]) {
		t.Error("a difference is not seen")
	}
}
