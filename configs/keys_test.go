package configs

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"consul.internal/configs/older"
	"consul.internal/internal/hclconf"
)

// TestKeys holds the table to its own rules: each key is described in a line,
// each part that is awaited is one we know.
func TestKeys(t *testing.T) {
	parts := []string{"B", "C", "D", "E", "F", "G", "H", "mesh", "enterprise", "never"}
	seen := map[string]Key{}
	for _, k := range Keys() {
		if k.Doc == "" || strings.Contains(k.Doc, "\n") {
			t.Errorf("%s has no one-line description", k.Name)
		}
		if k.Built == (k.Part != "") || k.Part != "" && !slices.Contains(parts, k.Part) {
			t.Errorf("%s: built %v, part %q", k.Name, k.Built, k.Part)
		}
		if _, twice := seen[k.Name]; twice {
			t.Errorf("%s is there twice", k.Name)
		}
		if k.Name != strings.ToLower(k.Name) {
			t.Errorf("%s is not in lower case", k.Name)
		}
		seen[k.Name] = k
	}
	for _, want := range []Key{
		{Name: "ports.http", Type: "int", Default: "8500", Doc: "HTTP", Built: true},
		{Name: "dns_config.only_passing", Type: "bool", Doc: "leave out services in the state warning", Built: true, Reload: true},
		{Name: "retry_interval", Type: "duration", Default: `"30s"`, Doc: "pause between attempts to join", Built: true},
		{Name: "retry_interval_wan", Type: "duration", Default: `"30s"`, Doc: "pause between attempts to join over the WAN", Built: true},
		{Name: "services[].checks[].tls_skip_verify", Type: "bool", Doc: "take any certificate", Built: true, Reload: true},
		{Name: "services[].tagged_addresses.*.port", Type: "int", Doc: "port", Built: true, Reload: true},
	} {
		got := seen[want.Name]
		got.Other = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	for from, to := range older.Names() {
		if _, ok := seen[to]; to != "" && !ok {
			t.Errorf("older name %s leads to %s, which is no key", from, to)
		}
		if _, ok := seen[from]; ok {
			t.Errorf("older name %s is a key", from)
		}
	}
	for _, def := range flagDefs() {
		k, ok := seen[def.key]
		if !ok || def.usage == "" {
			t.Errorf("flag -%s leads to %s, which is no key", def.name, def.key)
		}
		want := map[flagKind][]string{textFlag: {"string", "duration"}, intFlag: {"int"}, boolFlag: {"bool"}, listFlag: {"list of string"}, mapFlag: {"map of string"}}[def.kind]
		if !slices.Contains(want, k.Type) {
			t.Errorf("flag -%s gives another type than %s, which %s takes", def.name, k.Type, def.key)
		}
	}
}

// TestFieldTypes: the decoder must know how to fill every field.
func TestFieldTypes(t *testing.T) {
	var fill func(reflect.Type, int) *hclconf.Node
	fill = func(typ reflect.Type, depth int) *hclconf.Node {
		n := &hclconf.Node{Kind: hclconf.Object}
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("hcl"), ",")
			if name == "" || typ.Field(i).Tag.Get("removed") != "" {
				continue
			}
			n.Fields = append(n.Fields, hclconf.Field{Key: name, Value: sample(typ.Field(i).Type, fill, depth)})
		}
		return n
	}
	var f file
	if _, err := hclconf.Decode(fill(reflect.TypeFor[file](), 0), &f, hclconf.Options{}); err != nil {
		t.Error(err)
	}
}

func sample(t reflect.Type, fill func(reflect.Type, int) *hclconf.Node, depth int) *hclconf.Node {
	switch {
	case t.Kind() == reflect.Pointer:
		return sample(t.Elem(), fill, depth)
	case t.Kind() == reflect.Slice:
		return &hclconf.Node{Kind: hclconf.List, Items: []*hclconf.Node{sample(t.Elem(), fill, depth+1)}}
	case t.Kind() == reflect.Map:
		return &hclconf.Node{Kind: hclconf.Object, Fields: []hclconf.Field{{Key: "k", Value: sample(t.Elem(), fill, depth+1)}}}
	case t.Kind() == reflect.Struct:
		return fill(t, depth+1)
	case hclconf.TypeName(t) == "duration":
		return &hclconf.Node{Kind: hclconf.String, Text: "1s"}
	case t.Kind() == reflect.Bool:
		return &hclconf.Node{Kind: hclconf.Bool, Bool: true}
	case t.Kind() == reflect.Int, t.Kind() == reflect.Float64:
		return &hclconf.Node{Kind: hclconf.Number, Text: "1"}
	}
	return &hclconf.Node{Kind: hclconf.String, Text: "x"}
}

func TestSamples(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, Samples()); err != nil {
		t.Fatal(err)
	}
	s, warnings := mustLoad(t, "-config-dir="+dir+"/consul.d", "-data-dir="+dir)
	if !s.Server.Enabled || !s.Server.Bootstrap || s.Paths.DataDir != dir || s.Addresses.Bind.String() != "127.0.0.1" {
		t.Errorf("settings %+v", s)
	}
	var ids []string
	for _, d := range s.Definitions.Services {
		ids = append(ids, d.Name+"/"+d.ID)
		for _, c := range d.Checks {
			if c.TTL == 0 || c.Status != "passing" {
				t.Errorf("check %+v", c)
			}
		}
	}
	if got := strings.Join(ids, " "); got != "web/web-1 web/web-2 web/web-3 db/" {
		t.Errorf("services %s", got)
	}
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "bootstrap_expect = 1") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestDiff(t *testing.T) {
	base := []string{"-data-dir=x", "-hcl", "ports { http = 1 }\nservice { name = \"a\" }"}
	load := func(extra ...string) *Settings {
		s, _ := mustLoad(t, append(slices.Clone(base), extra...)...)
		return s
	}
	old := load()
	moved, _ := mustLoad(t, "-data-dir=x", "-hcl", "\n\n\nservice {\n name = \"a\"\n}\nports { http = 1 }")
	if changed, restart := Diff(old, moved); len(changed)+len(restart) != 0 {
		t.Errorf("the same text in other places: %v, %v", changed, restart)
	}
	changed, restart := Diff(old, load("-hcl", `log_level = "DEBUG" service { name = "b" } check { name = "c" ttl = "1s" } datacenter = "dc9" node_meta { a = "b" }
dns_config { only_passing = true service_ttl { x = "1s" } } ports { dns = 2 } retry_join = ["x"] limits { http_max_conns_per_client = 1 }`))
	if got := strings.Join(changed, " "); got != "checks datacenter dns_config.only_passing dns_config.service_ttl limits.http_max_conns_per_client log_level node_meta ports.dns retry_join services" {
		t.Errorf("changed %s", got)
	}
	if got := strings.Join(restart, " "); got != "datacenter ports.dns retry_join" {
		t.Errorf("restart %s", got)
	}
	dev, _ := mustLoad(t, "-dev", "-data-dir=x")
	if _, restart := Diff(old, dev); !slices.Contains(restart, "-dev") {
		t.Errorf("restart %v", restart)
	}
}
