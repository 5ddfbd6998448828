package filter_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/internal/filter"
)

func sample() *catalog.Instance {
	return &catalog.Instance{
		Node: &catalog.Node{Name: "n1", Meta: map[string]string{"os": "linux", "a-b": `q"\/`}},
		Service: &catalog.Service{
			Name: "web", Port: 81, Tags: []string{"a", "v1"},
			TaggedAddresses: map[string]catalog.ServiceAddress{"lan": {Address: "10.0.0.1", Port: 9}},
		},
		Checks: []*catalog.Check{{CheckID: "c1", Status: catalog.Passing}, {CheckID: "c2", Status: catalog.Critical}},
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want bool
	}{
		{`Service.Port == 81`, true},
		{`Service.Port != 81`, false},
		{`Node.Node == n1`, true},
		{`Node.Meta.os == linux`, true},
		{`Node.Meta["a-b"] == "q\x22\\\x2f"`, true},
		{`Node.Meta.none == linux`, false},
		{`Node.Meta.none != linux`, true},
		{`"os" in Node.Meta`, true},
		{`"rack" not in Node.Meta`, true},
		{`a in Service.Tags`, true},
		{`Service.Tags contains "b"`, false},
		{`Service.Tags is empty`, false},
		{`Service.Service matches "^w.b$"`, true},
		{`Service.Service not matches "^w.b$"`, false},
		{`Checks.Status == critical`, true},
		{`Checks.Status == warning`, false},
		{`Checks.Status != passing`, true}, // some item differs
		{`Checks.Status == critical and Checks.CheckID == c1`, true},
		{`any Checks as c { c.Status == critical and c.CheckID == c1 }`, false},
		{`all Checks as _, c { c.Status == passing or c.CheckID == c2 }`, true},
		{`Service.TaggedAddresses.lan.Port == 9`, true},
		{`not (Service.Port == 80) and (Node.Node == n2 or Node.Node == n1)`, true},
	} {
		f, err := filter.New[*catalog.Instance](tt.expr)
		if err != nil {
			t.Errorf("%s: %v", tt.expr, err)
			continue
		}
		got, err := f.Match(sample())
		if err != nil || got != tt.want {
			t.Errorf("%s = %v, %v; want %v", tt.expr, got, err, tt.want)
		}
	}
}

// TestManyTerms: filters that programs write have dozens of terms.
func TestManyTerms(t *testing.T) {
	terms := func(op string, term func(i int) string) string {
		var all []string
		for i := range 50 {
			all = append(all, term(i))
		}
		return strings.Join(all, op)
	}
	port := func(i int) string { return fmt.Sprintf("Service.Port != %d", i) }
	status := func(i int) string { return fmt.Sprintf("Checks.CheckID != c%d", i) }
	for _, expr := range []string{
		terms(" and ", port), terms(" or ", port), terms(" and ", status), terms(" or ", status),
		"(" + terms(" or ", port) + ") and (" + terms(" or ", status) + ") and not (" + terms(" or ", func(i int) string {
			return fmt.Sprintf("Service.Port == %d", i)
		}) + ")",
	} {
		f, err := filter.New[*catalog.Instance](expr)
		if err != nil {
			t.Errorf("%.60s...: %v", expr, err)
			continue
		}
		if ok, err := f.Match(sample()); err != nil || !ok {
			t.Errorf("%.60s... = %v, %v", expr, ok, err)
		}
	}
}

func TestInvalid(t *testing.T) {
	for expr, want := range map[string]string{
		`zz`:                           "no match found",
		`Nope == 1`:                    `Selector "Nope" is not valid`,
		`Service.Port.x == 1`:          `Selector "Service.Port.x" is not valid`,
		`Node.Node == n1 or Bad == 1`:  `Selector "Bad" is not valid`,
		`any Service as s { s == 1 }`:  `Selector "Service" is not valid`,
		`any Checks as c { c.X == 1 }`: `Selector "c.X" is not valid`,
		strings.Repeat("(", 9<<10):     "longer than",
		`Service.Port == "`:            "Unterminated string literal",
	} {
		_, err := filter.New[*catalog.Instance](expr)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, fault.Invalid) {
			t.Errorf("%.40s: error %v, want %q of kind invalid", expr, err, want)
		}
	}
}

func TestSlice(t *testing.T) {
	items := []*catalog.Check{{CheckID: "a"}, {CheckID: "b"}}
	all, err := filter.Slice(nil, items)
	if err != nil || len(all) != 2 {
		t.Errorf("nil filter: %v %v", all, err)
	}
	f, err := filter.New[*catalog.Check](`CheckID == b`)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := filter.Slice(f, items)
	if err != nil || len(kept) != 1 || kept[0].CheckID != "b" || items[0].CheckID != "a" {
		t.Errorf("kept %v, %v", kept, err)
	}
}

func FuzzNew(f *testing.F) {
	f.Add(`Checks.Status == critical`)
	f.Add(`any Node.Meta as k, v { k == "a" and v != "b" }`)
	f.Add(`"/Node/Node" == x`)
	f.Fuzz(func(t *testing.T, expr string) {
		flt, err := filter.New[*catalog.Instance](expr)
		if err == nil {
			_, _ = flt.Match(sample()) // must not panic; a type mismatch is an error
		}
	})
}
