package configs

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"consul.internal/configs/definition"
	"consul.internal/internal/watch"
)

func TestWatches(t *testing.T) {
	t.Setenv("SHELL", "/bin/zsh")
	write(t, map[string]string{
		"a.hcl": `data_dir = "x"
disable_remote_exec = false
watches = [
  { type = "key" key = "foo" args = ["/bin/handler", "-x"] },
  { type = "service" service = "web" tag = "a" passingonly = true datacenter = "dc2" token = "t" handler = "echo changed" },
]
watch { type = "service" service = "web" tag = ["a", "b"] handler_type = "script" args = ["h"] }
`,
		"b.json": `{"watches": [{"type": "event", "name": "deploy", "handler_type": "http", "http_handler_config":
  {"path": "https://localhost:8000/watch", "method": "PUT", "header": {"x-foo": ["bar", "baz"]}, "timeout": "3s", "tls_skip_verify": true}}]}`,
	})
	s, warnings := mustLoad(t, "-config-file=a.hcl", "-config-file=b.json")
	want := []definition.Watch{
		{Query: watch.Query{Type: "key", Key: "foo"}, Args: []string{"/bin/handler", "-x"}},
		{Query: watch.Query{Type: "service", Service: "web", Tags: []string{"a"}, PassingOnly: true, Datacenter: "dc2", Token: "t"}, Args: []string{"/bin/zsh", "-c", "echo changed"}},
		{Query: watch.Query{Type: "service", Service: "web", Tags: []string{"a", "b"}}, Args: []string{"h"}},
		{Query: watch.Query{Type: "event", Name: "deploy"}, URL: &watch.URL{
			Path: "https://localhost:8000/watch", Method: "PUT", Header: map[string][]string{"x-foo": {"bar", "baz"}}, Timeout: 3 * time.Second, TLSSkipVerify: true,
		}},
	}
	if !reflect.DeepEqual(s.Definitions.Watches, want) {
		t.Errorf("got  %+v\nwant %+v", s.Definitions.Watches, want)
	}
	if !s.RemoteExec {
		t.Error("remote execution is not on")
	}
	if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "'handler' has been deprecated") }) {
		t.Errorf("warnings %q", warnings)
	}
	write(t, map[string]string{"a.hcl": `data_dir = "x"`})
	plain, _ := mustLoad(t, "-config-file=a.hcl")
	if plain.RemoteExec {
		t.Error("remote execution is on though nobody asked for it")
	}
	if changed, restart := Diff(s, plain); !slices.Contains(changed, "watches") || slices.Contains(restart, "watches") || !slices.Contains(restart, "disable_remote_exec") {
		t.Errorf("changed %q, a restart for %q", changed, restart)
	}
}

func TestWatchErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{ args = ["h"] }`:                            "Watch type must be specified",
		`{ type = "zzz" args = ["h"] }`:               "Unsupported watch type: zzz",
		`{ type = "key" args = ["h"] }`:               "Must specify a single key",
		`{ type = "nodes" }`:                          "a handler is needed",
		`{ type = "nodes" keey = "x" args = ["h"] }`:  `nearest valid key is "key"`,
		`{ type = "nodes" args = ["h"] handler="x" }`: "only one of 'handler' and 'args'",
		`{ type = "nodes" handler_type = "http" }`:    "requires 'http_handler_config'",
		`{ type = "nodes" handler_type = "http" http_handler_config { method = "PUT" } }`:      "requires 'path'",
		`{ type = "nodes" args = ["h"] http_handler_config { path = "http://x" } }`:            `needs handler_type = "http"`,
		`{ type = "nodes" handler_type = "mail" }`:                                             "neither script nor http",
		`{ type = "service" service = "a" tag = 5 args = ["h"] }`:                              "tag must be a string or a list of strings",
		`{ type = "nodes" handler_type = "http" http_handler_config { path = "x" timout=1 } }`: `nearest valid key is "timeout"`,
	} {
		write(t, map[string]string{"a.hcl": "data_dir = \"x\"\nwatches " + text})
		_, _, err := Load([]string{"-config-file=a.hcl"}, testHost())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a.hcl:2") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
