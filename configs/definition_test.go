package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/checks"
	"consul.internal/configs/definition"
)

// samplesOf are values of each type in HCL, and the Go types that take them.
var samplesOf = []struct {
	hcl   string
	takes []reflect.Type
}{
	{`"x"`, []reflect.Type{reflect.TypeFor[string]()}},
	{`"7s"`, []reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[time.Duration]()}},
	{`7`, []reflect.Type{reflect.TypeFor[int]()}},
	{`7.5`, nil},
	{`true`, []reflect.Type{reflect.TypeFor[bool](), reflect.TypeFor[*bool]()}},
	{`["x"]`, []reflect.Type{reflect.TypeFor[[]string]()}},
	{`[7]`, nil},
	{`{ k = "x" }`, []reflect.Type{reflect.TypeFor[map[string]string](), reflect.TypeFor[map[string]any]()}},
	{`{ k = ["x"] }`, []reflect.Type{reflect.TypeFor[map[string][]string](), reflect.TypeFor[map[string]any]()}},
}

// keysOf lists the keys of a block with their types: those that mean something
// now, and of each its first spelling.
func keysOf(typ reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range typ.NumField() {
		f := typ.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("hcl"), ",")
		if key == "" || f.Tag.Get("removed") != "" || f.Tag.Get("later") != "" {
			continue
		}
		out[key] = f.Type
	}
	return out
}

func fails(t *testing.T, src, place, text string) {
	t.Helper()
	_, _, err := Load([]string{"-data-dir=x", "-enable-script-checks", "-hcl", src}, testHost())
	if err == nil || !strings.Contains(err.Error(), place) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: error %v, want one with %q and %q", src, err, place, text)
	}
}

// Each key of a service and of a check, with a value of a wrong type, given
// twice, and misspelt: refused with its place and its name.
func TestEveryKeyWithWrongTypes(t *testing.T) {
	for block, typ := range map[string]reflect.Type{"service": reflect.TypeFor[definition.ServiceBlock](), "check": reflect.TypeFor[definition.CheckBlock]()} {
		for key, want := range keysOf(typ) {
			tried := 0
			for _, s := range samplesOf {
				if slices.Contains(s.takes, want) || want.Kind() == reflect.Pointer && want.Elem().Kind() == reflect.Struct && s.hcl[0] == '{' ||
					want.Kind() == reflect.Map && want.Elem().Kind() == reflect.Struct && s.hcl[0] == '{' ||
					want.Kind() == reflect.Slice && want.Elem().Kind() == reflect.Struct && s.hcl[0] == '{' {
					continue
				}
				tried++
				fails(t, fmt.Sprintf("%s {\n  %s = %s\n}", block, key, s.hcl), "flags-0.hcl:2:", key)
			}
			if tried < 6 {
				t.Errorf("%s.%s was tried with %d wrong types only", block, key, tried)
			}
			if want.Kind() != reflect.Slice && want.Kind() != reflect.Map && (want.Kind() != reflect.Pointer || want.Elem().Kind() != reflect.Struct) {
				value := map[reflect.Kind]string{reflect.String: `"a"`, reflect.Int: "1", reflect.Bool: "true", reflect.Pointer: "true", reflect.Int64: `"1s"`}[want.Kind()]
				fails(t, fmt.Sprintf("%s {\n  %s = %s\n  %s = %s\n}", block, key, value, key, value), "flags-0.hcl:3:3", "set twice")
				fails(t, fmt.Sprintf("%s {\n  %s = %s\n  %s = %s\n}", block, key, value, strings.ToUpper(key), value), "flags-0.hcl:3:3", "set twice")
			}
			fails(t, fmt.Sprintf("%s {\n  %sz = 1\n}", block, key), "flags-0.hcl:2:3", "invalid config key")
		}
	}
}

func TestEveryKeyWithWrongValues(t *testing.T) {
	for _, tt := range []struct{ keys, err string }{
		{`ttl = "0s"`, "TTL must be > 0"},
		{`ttl = "-1s"`, "TTL must be > 0"},
		{`ttl = "1"`, "ttl"},
		{`ttl = "1s" interval = "1s"`, "Interval and TTL cannot both be specified"},
		{`ttl = "1s" timeout = "-1s"`, "Timeout must not be negative"},
		{`ttl = "1s" status = "superb"`, `"superb"`},
		{`ttl = "1s" success_before_passing = -1`, "SuccessBeforePassing must not be negative"},
		{`ttl = "1s" failures_before_warning = -1`, "FailuresBeforeWarning must not be negative"},
		{`ttl = "1s" failures_before_critical = -1`, "FailuresBeforeCritical must not be negative"},
		{`ttl = "1s" failures_before_warning = 2`, "FailuresBeforeWarning can't be higher"},
		{`ttl = "1s" deregister_critical_service_after = "-1s"`, "DeregisterCriticalServiceAfter must not be negative"},
		{`ttl = "1s" output_max_size = -1`, "OutputMaxSize must be positive"},
		{`http = "ftp://x" interval = "1s"`, "HTTP must be a URL"},
		{`http = "http://x:99999" interval = "1s"`, "between 1 and 65535"},
		{`http = "http://x" interval = "1s" method = "G T"`, "is not an HTTP method"},
		{`http = "http://x" interval = "1s" header { "a b" = ["c"] }`, `"a b" is not the name of an HTTP header`},
		{`http = "http://x"`, "Interval must be > 0"},
		{`tcp = "x" interval = "1s"`, "TCP must be HOST:PORT"},
		{`udp = "x" interval = "1s"`, "UDP must be HOST:PORT"},
		{`grpc = "x" interval = "1s"`, "GRPC must be HOST:PORT"},
		{`h2ping = "x" interval = "1s"`, "H2PING must be HOST:PORT"},
		{`tcp = "x:1" http = "http://x" interval = "1s"`, "only one kind"},
		{`docker_container_id = "c" interval = "1s"`, "a docker check needs Args"},
		{`docker_container_id = "c d" args = ["x"] interval = "1s"`, "neither an ID nor a name"},
		{`os_service = "*" interval = "1s"`, "is not a name of a service"},
		{`alias_service = "x" interval = "1s"`, "Interval cannot be set for Alias checks"},
		{`notes = "n"`, "TTL must be > 0 for TTL checks"},
		{`script = "true"`, "no longer supported"},
	} {
		fails(t, "\ncheck { name = \"c\" "+tt.keys+" }", "flags-0.hcl:2:", tt.err)
		fails(t, "service { name = \"s\"\n check { id = \"c\" "+tt.keys+" } }", "flags-0.hcl:2:", tt.err)
	}
}

// The examples of docs/checks.md are configurations, one of each syntax for every kind.
func TestExamplesOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]map[checks.Kind]bool{"hcl": {}, "json": {}}
	for syntax, found := range kinds {
		parts := strings.Split(string(text), "```"+syntax+"\n")
		for _, part := range parts[1:] {
			src, _, _ := strings.Cut(part, "```")
			name := filepath.Join(t.TempDir(), "x."+syntax)
			if err := os.WriteFile(name, []byte(src), 0o600); err != nil {
				t.Fatal(err)
			}
			s, _, err := Load([]string{"-data-dir=x", "-config-file=" + name}, testHost())
			if err != nil {
				t.Errorf("%s\n%v", src, err)
				continue
			}
			all := slices.Clone(s.Definitions.Checks)
			for _, svc := range s.Definitions.Services {
				all = append(all, svc.Checks...)
			}
			for i := range all {
				found[all[i].Kind()] = true
			}
		}
		if len(found) != 10 {
			t.Errorf("examples in %s for the kinds %v, want all ten", syntax, found)
		}
	}
}
