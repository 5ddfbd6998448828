package hclconf

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
)

type testWeights struct {
	Passing int `hcl:"passing"`
}

type testService struct {
	Name    string        `hcl:"name"`
	Port    int           `hcl:"port"`
	TTL     time.Duration `hcl:"ttl"`
	Tags    []string      `hcl:"tags"`
	Weights *testWeights  `hcl:"weights"`
	Script  any           `hcl:"script" removed:"use args"`
	Pos     hcl.Range     `hcl:",range"`
}

type testConfig struct {
	Server   *bool             `hcl:"server"`
	DataDir  *string           `hcl:"data_dir,dir"`
	Rate     *float64          `hcl:"rate"`
	Small    *int              `hcl:"small"`
	Wait     *time.Duration    `hcl:"wait"`
	Meta     map[string]string `hcl:"node_meta"`
	Header   map[string][]string
	Services []testService    `hcl:"services,service"`
	Watches  []map[string]any `hcl:"watches"`
	Free     map[string]any   `hcl:"free"`
	EnableX  *bool            `hcl:"enable_x_checks"`
	Ports    struct {
		HTTP *int `hcl:"http"`
		DNS  *int `hcl:"dns"`
	} `hcl:"ports"`
}

func decode(t *testing.T, src string, opts Options) (testConfig, Found, error) {
	t.Helper()
	n, err := Parse("f", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	var c testConfig
	found, err := Decode(n, &c, opts)
	return c, found, err
}

func TestDecode(t *testing.T) {
	c, found, err := decode(t, `
server = true
data_dir = "x"
rate = 2
small = 3.0
wait = "1m30s"
node_meta { "a-b" = "c" }
ports { http = 1 }
ports { dns = 2 }
service { name = "a" tags = ["t"] weights { passing = 3 } }
service { name = "b" ttl = "5s" }
watches = [{ type = "key", args = ["x", 1] }]
free { deep { er = [1, "2"] } }
`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := testConfig{
		Server: new(true), DataDir: new("x"), Rate: new(2.0), Small: new(3), Wait: new(90 * time.Second),
		Meta:    map[string]string{"a-b": "c"},
		Watches: []map[string]any{{"type": "key", "args": []any{"x", int64(1)}}},
		Free:    map[string]any{"deep": map[string]any{"er": []any{int64(1), "2"}}},
	}
	want.Ports.HTTP, want.Ports.DNS = new(1), new(2)
	want.Services = []testService{
		{Name: "a", Tags: []string{"t"}, Weights: &testWeights{3}, Pos: c.Services[0].Pos},
		{Name: "b", TTL: 5 * time.Second, Pos: c.Services[1].Pos},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if got := Place(c.Services[1].Pos); got != "f:11:9" {
		t.Errorf("second service at %s", got)
	}
	if got := Place(found["ports.dns"]); got != "f:9:9" {
		t.Errorf("ports.dns at %s", got)
	}
	if _, ok := found["services.name"]; ok || len(found) != 14 {
		t.Errorf("found %v", found.Sorted())
	}
}

func TestDecodeShapes(t *testing.T) {
	for _, tt := range []struct{ name, src string }{
		{"an object for a list", `{"service": {"name": "a"}, "ports": {"http": 1, "dns": 2}}`},
		{"a list of objects for a struct", `{"service": [{"name": "a"}], "ports": [{"http": 1}, {"dns": 2}]}`},
		{"two spellings of a list", `service { name = "a" } services = [] ports { http = 1 dns = 2 }`},
		{"labels are keys", `ports "http" { } `},
		{"null sets nothing", `{"service": {"name": "a", "tags": null}, "server": null, "ports": {"http": 1, "dns": 2}}`},
	} {
		c, _, err := decode(t, tt.src, Options{})
		if tt.name == "labels are keys" {
			checkErrors(t, err, []string{"f:1:14: 'ports.http' expected type 'int', got 'object'"})
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if len(c.Services) != 1 || c.Services[0].Name != "a" || *c.Ports.DNS != 2 || c.Server != nil {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	tests := []struct {
		name, src string
		want      []string
	}{
		{"near", "ports { htttp = 1 }", []string{`f:1:9: invalid config key ports.htttp; nearest valid key is "http"`}},
		{"near another spelling", "servcie { }", []string{`f:1:1: invalid config key servcie; nearest valid key is "service"`}},
		{"not near", "nonsense_key = 1", []string{"f:1:1: invalid config key nonsense_key"}},
		{"wrong place", "http = 1", []string{"f:1:1: invalid config key http; did you mean ports.http?"}},
		{"in a list", "services = [{ name = \"a\" }, { nme = \"b\" }]", []string{`f:1:31: invalid config key services[1].nme; nearest valid key is "name"`}},
		{"in a lone block", "service { nme = \"b\" }", []string{`f:1:11: invalid config key services.nme`}},
		{"types", "data_dir = 7\nserver = \"maybe\"", []string{
			"f:1:12: 'data_dir' expected type 'string', got unconvertible type 'number', value: '7'; write it in quotes",
			"f:2:10: 'server' expected type 'bool', got unconvertible type 'string', value: 'maybe'",
		}},
		{"quoted bool and number", "server = \"true\"\nports { http = \"80\" }", []string{
			"f:1:10: 'server' expected type 'bool', got unconvertible type 'string', value: 'true'; write it without quotes",
			"f:2:16: 'ports.http' expected type 'int', got unconvertible type 'string', value: '80'; write it without quotes",
		}},
		{"fraction", "small = 1.5", []string{"f:1:9: 'small' expected type 'int'"}},
		{"huge", "small = 1e300", []string{"f:1:9: 'small' expected type 'int'"}},
		{"scalar for list", "service { tags = \"x\" }", []string{"f:1:18: 'services.tags' expected type 'list of string', got unconvertible type 'string', value: 'x'; write it in brackets"}},
		{"list for object", "ports = [1]", []string{"f:1:9: 'ports' expected type 'object', got 'list'"}},
		{"duration", "wait = \"zz\"", []string{`f:1:8: wait: invalid duration: "zz": time: invalid duration "zz"`}},
		{"bare duration", "wait = 10", []string{"f:1:8: 'wait' expected type 'duration', got unconvertible type 'number', value: '10'; write it in quotes"}},
		{"map value", "node_meta { a = 1 }", []string{"f:1:17: 'node_meta.a' expected type 'string'"}},
		{"removed", "service { script = \"x\" }", []string{"f:1:11: services.script is no longer supported: use args"}},
		{"blocks that disagree", "ports { http = 1 }\nports { http = 2 }", []string{`f:2:9: "http" is set twice; the first time at f:1:9`}},
		{"two spellings", "dir = \"a\"\ndata_dir = \"b\"", []string{"f:2:1: data_dir is set twice; the first time, as dir, at f:1:1"}},
		{"null in a list", "service { tags = [null] }", []string{"f:1:19: 'services.tags[0]' expected type 'string', got 'null'"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := decode(t, tt.src, Options{})
			checkErrors(t, err, tt.want)
		})
	}
}

func TestDecodeLoose(t *testing.T) {
	const src = `Server = true EnableXChecks = true service { Name = "a" }`
	if _, _, err := decode(t, src, Options{}); err == nil {
		t.Error("strict decoding took other spellings")
	}
	c, found, err := decode(t, src, Options{Loose: true})
	if err != nil || !*c.Server || !*c.EnableX || c.Services[0].Name != "a" {
		t.Errorf("%+v, %v", c, err)
	}
	if got := strings.Join(found.Sorted(), " "); got != "server enable_x_checks services" {
		t.Errorf("found %q", got)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"http", "https", "dns", "serf_lan", "enable_local_script_checks"}
	for _, tt := range []struct{ key, want string }{
		{"htttp", "http"}, {"htps", "https"}, {"serflan", "serf_lan"},
		{"enable_local_script_check", "enable_local_script_checks"}, {"x", ""}, {"nonsense", ""}, {"", ""},
	} {
		got := Nearest(tt.key, names)
		if got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.key, got, tt.want)
		}
	}
}
