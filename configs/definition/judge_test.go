package definition

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"consul.internal/internal/hclconf"
)

// files is as much of a configuration as this package knows.
type files struct {
	Services []ServiceBlock `hcl:"services,service"`
	Checks   []CheckBlock   `hcl:"checks,check"`
	Watches  []WatchBlock   `hcl:"watches,watch"`
}

func read(t *testing.T, text string) files {
	t.Helper()
	root, err := hclconf.Parse("x.hcl", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var f files
	if _, err := hclconf.Decode(root, &f, hclconf.Options{Loose: true}); err != nil {
		t.Fatal(err)
	}
	return f
}

// All mistakes are found, in the order of the text, and what is good stays.
func TestJudge(t *testing.T) {
	f := read(t, `
service { port = 70000 }
service {
  name = "web"
  id = "w"
  meta { "a b" = "" }
  check { id = "c" args = ["true"] interval = "1s" }
}
service { name = "w" }
check { name = "c" ttl = "1s" }
check { ttl = "1s" }
watch { type = "nodes" }
watch { type = "nodes" args = ["h"] }
`)
	j := Judge{}
	set := j.Definitions(f.Services, f.Checks)
	set.Watches = j.Watches(f.Watches)
	want := []string{
		`x.hcl:2:9: a service needs a name`,
		`x.hcl:2:9: service "": 70000 is not a port number`,
		`x.hcl:3:9: service "web": meta: key "a b" contains invalid characters; use letters, digits, - and _`,
		`x.hcl:7:9: service "web": check "c": scripts are disabled on this agent; enable_local_script_checks = true allows those of configuration files`,
		`x.hcl:9:9: service "w": this ID is already used by the service at x.hcl:3:9; give one of them another id`,
		`x.hcl:10:7: check "c": this ID is already used by the check at x.hcl:7:9; give one of them another id`,
		`x.hcl:11:7: a check needs a name or an id`,
		`x.hcl:12:7: watches[0]: a handler is needed: set 'args', or handler_type 'http'`,
	}
	if !slices.Equal(j.Errors, want) {
		t.Errorf("errors\n%s\nwant\n%s", strings.Join(j.Errors, "\n"), strings.Join(want, "\n"))
	}
	if len(j.Warnings) > 0 {
		t.Errorf("warnings %q", j.Warnings)
	}
	if len(set.Services) != 3 || len(set.Checks) != 2 || len(set.Watches) != 2 || set.Watches[1].Args[0] != "h" {
		t.Errorf("it leaves %+v", set)
	}
}

// The switch that allows commands may stand in a file that is not there to look at.
func TestJudgeScripts(t *testing.T) {
	f := read(t, `check { name = "c" args = ["true"] interval = "1s" }`)
	for _, tt := range []struct {
		judge            Judge
		errors, warnings int
	}{
		{Judge{}, 1, 0},
		{Judge{Lenient: true}, 0, 1},
		{Judge{Scripts: true}, 0, 0},
	} {
		j := tt.judge
		j.Definitions(nil, f.Checks)
		if len(j.Errors) != tt.errors || len(j.Warnings) != tt.warnings {
			t.Errorf("%+v: errors %q, warnings %q", tt.judge, j.Errors, j.Warnings)
		}
	}
}

func TestCheckMeta(t *testing.T) {
	full := map[string]string{}
	for i := range maxMetaPairs {
		full[fmt.Sprint("k", i)] = ""
	}
	over := map[string]string{"more": ""}
	for k := range full {
		over[k] = ""
	}
	long := strings.Repeat("x", maxMetaKey)
	for _, tt := range []struct {
		name     string
		meta     map[string]string
		reserved string
		want     []string
	}{
		{"none", nil, "", nil},
		{"64 pairs", full, "", nil},
		{"65 pairs", over, "", []string{"all cannot contain more than 64 key/value pairs"}},
		{"longest key", map[string]string{long: ""}, "", nil},
		{"longer key", map[string]string{long + "x": ""}, "", []string{`at x...: key "` + long + `x" is longer than 128 bytes`}},
		{"longest value", map[string]string{"k": strings.Repeat("v", maxMetaValue)}, "", nil},
		{"longer value", map[string]string{"k": strings.Repeat("v", maxMetaValue+1)}, "", []string{`at k...: the value of "k" is longer than 512 bytes`}},
		{"reserved", map[string]string{"consul-x": "", "k": ""}, "consul-", []string{`at c...: key "consul-x" is reserved: keys of your own must not begin with "consul-"`}},
		{"not reserved", map[string]string{"consul-x": ""}, "", nil},
		{"letters, in order", map[string]string{"b.c": "", "a c": ""}, "", []string{
			`at a...: key "a c" contains invalid characters; use letters, digits, - and _`,
			`at b...: key "b.c" contains invalid characters; use letters, digits, - and _`,
		}},
	} {
		got := CheckMeta(tt.meta, tt.reserved, "all", func(key string) string { return "at " + key[:1] + "..." })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestUnbuilt(t *testing.T) {
	f := read(t, `
service { name = "a" }
service {
  name = "b"
  partition = "p"
  connect { native = true }
  locality { region = "r" }
  proxy { mode = "direct" }
}`)
	if got := Unbuilt(&f.Services[0]); got != nil {
		t.Errorf("a plain service has %q", got)
	}
	if got := strings.Join(Unbuilt(&f.Services[1]), " "); got != "service.proxy service.connect service.locality service.namespace" {
		t.Errorf("it names %s", got)
	}
}
