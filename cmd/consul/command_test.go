package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

// execute runs one command line.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func TestExitCodesAndStreams(t *testing.T) {
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1") // nobody listens there
	tests := []struct {
		args     []string
		code     int
		out, err string // regular expressions; "" means nothing was printed
	}{
		{nil, 127, "", `^Usage: consul \[--version\] \[--help\] <command> \[<args>\]\n\nAvailable commands are:\n`},
		{[]string{"bogus"}, 127, "", "^Usage: consul "},
		{[]string{"--help"}, 0, "^Usage: consul ", ""},
		{[]string{"-h"}, 0, "^Usage: consul ", ""},
		{[]string{"--version"}, 0, `^Consul v\d+\.\d+\.\d+`, ""},
		{[]string{"version"}, 0, `(?s)^Consul v\d+\.\d+\.\d+.*\nProtocol 2 spoken by default, understands 2 to 3 `, ""},
		{[]string{"version", "-format=xml"}, 1, "", "^Unknown format: xml\n$"},
		{[]string{"version", "x"}, 1, "", `^Too many arguments \(expected 0, got 1\)`},
		{[]string{"catalog"}, 1, "", `^Usage: consul catalog <subcommand> \[options\] \[args\]\n(?s).*Subcommands:.*datacenters`},
		{[]string{"catalog", "bogus"}, 1, "", "^Usage: consul catalog"},
		{[]string{"services"}, 1, "", "^Usage: consul services <subcommand>"},
		{[]string{"catalog", "nodes", "extra"}, 1, "", `^Too many arguments \(expected 0, got 1\)\n$`},
		{[]string{"members", "-status=("}, 1, "", "^Failed to compile status regexp: error parsing regexp"},
		{[]string{"members", "-nonsense"}, 1, "", "^flag provided but not defined: -nonsense\nUsage:\n"},
		{[]string{"members"}, 1, "", `^Error retrieving members: Get "http://127.0.0.1:1/v1/agent/members\?segment=_all"`},
		{[]string{"members", "--http-addr=http://127.0.0.1:2"}, 1, "", `127.0.0.1:2`},
		{[]string{"members", "-http-addr", "127.0.0.1:2"}, 1, "", `127.0.0.1:2`},
		{[]string{"info"}, 1, "", "^Error querying agent: "},
		{[]string{"reload"}, 1, "", "^Error reloading: "},
		{[]string{"leave"}, 1, "", "^Error leaving: "},
		{[]string{"services", "register"}, 1, "", "^Service registration requires at least one argument or flags."},
		{[]string{"services", "register", "-name=x", "f.json"}, 1, "", "^Service registration requires arguments or -id, not both."},
		{[]string{"services", "register", "-port=1"}, 1, "", "^Service registration requires -name."},
		{[]string{"services", "register", "-name=x", "-meta=k"}, 1, "", "key=value"},
		{[]string{"services", "deregister"}, 1, "", "^Service deregistration requires at least one argument or -id."},
		{[]string{"services", "deregister", "-id=x", "f.json"}, 1, "", "^Service deregistration requires arguments or -id, not both."},
		{[]string{"validate"}, 1, "", "^Must specify at least one config file or directory\n$"},
		{[]string{"agent", "-nonsense"}, 1, "", "^flag provided but not defined: -nonsense\nUsage:\n  -advertise "},
		{[]string{"agent", "-dev", "extra"}, 1, "", `^==> Unexpected extra arguments: \[extra\]\n$`},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			code, out, err := execute(t, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, s := range []struct{ name, pattern, got string }{{"stdout", tt.out, out}, {"stderr", tt.err, err}} {
				if s.pattern == "" && s.got != "" || !regexp.MustCompile(s.pattern).MatchString(s.got) {
					t.Errorf("%s is %q, want a match of %q", s.name, s.got, s.pattern)
				}
			}
		})
	}
}

func TestHelpEverywhere(t *testing.T) {
	for name := range new(app).commands() {
		for _, flag := range []string{"-h", "--help", "-help"} {
			code, out, err := execute(t, append(strings.Fields(name), flag)...)
			if code != 0 || err != "" || !regexp.MustCompile(`^Usage: consul `+name+`\b`).MatchString(out) {
				t.Errorf("%s %s: exit %d, %q, %q", name, flag, code, out, err)
			}
			for i, line := range strings.Split(out, "\n") {
				if len(line) > 100 {
					t.Errorf("%s %s: line %d is %d wide: %s", name, flag, i+1, len(line), line)
				}
			}
		}
	}
	_, out, _ := execute(t, "members", "-h")
	if !regexp.MustCompile(`(?s)HTTP API Options\n\n  -ca-file=<value>\n     .*Command Options\n\n  -detailed\n     `).MatchString(out) {
		t.Errorf("help of members:\n%s", out)
	}
}

func TestVersionJSON(t *testing.T) {
	_, out, _ := execute(t, "version", "-format=json")
	var v struct {
		Version, Revision, Prerelease, BuildDate string
		RPC                                      struct{ Default, Min, Max int }
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Version == "" || v.RPC.Default != 2 || v.RPC.Min != 2 || v.RPC.Max != 3 {
		t.Errorf("%+v, %v", v, err)
	}
	if !regexp.MustCompile(`(?s)"Version".*"Revision".*"Prerelease".*"RPC"`).MatchString(out) {
		t.Errorf("order of members: %s", out)
	}
}

func TestKeygen(t *testing.T) {
	_, a, _ := execute(t, "keygen")
	_, b, _ := execute(t, "keygen")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(a))
	if err != nil || len(key) != gossipKeyBytes || a == b {
		t.Errorf("%q, %q, %v", a, b, err)
	}
}

func TestMemberRows(t *testing.T) {
	members := []*api.AgentMember{
		{Name: "c1", Addr: "10.0.0.2", Port: 8301, Status: 4, Tags: map[string]string{"role": "node", "build": "1.21.0:abc", "vsn": "2", "dc": "dc1"}},
		{Name: "a1", Addr: "2001:db8::1", Port: 8301, Status: 1, Tags: map[string]string{"role": "consul", "build": "1.21.0:abc", "vsn": "2", "dc": "dc1"}},
		{Name: "odd", Addr: "10.0.0.3", Port: 1, Status: 77},
	}
	all := regexp.MustCompile("")
	var got []string
	for _, r := range memberRows(members, all, false)[1:] {
		got = append(got, strings.Join(r, " "))
	}
	want := []string{
		"a1 [2001:db8::1]:8301 alive server 1.21.0 2 dc1 default <all>",
		"c1 10.0.0.2:8301 failed client 1.21.0 2 dc1 default <default>",
		"odd 10.0.0.3:1 unknown unknown unknown 0 - default -",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rows := memberRows(members, regexp.MustCompile("^alive$"), true); len(rows) != 2 || rows[1][3] != "build=1.21.0:abc,dc=dc1,role=consul,vsn=2" {
		t.Errorf("detailed rows %q", rows)
	}
	if rows := memberRows(members, regexp.MustCompile("^left$"), false); len(rows) != 1 {
		t.Errorf("no member left, got %q", rows)
	}
}

// answering lends an agent that answers fixed paths and records requests.
func answering(t *testing.T, answers map[string]string) *[]string {
	t.Helper()
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("X-Consul-Token"))
		body, ok := answers[r.URL.Path]
		if !ok {
			http.Error(w, "nothing here", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	t.Setenv("CONSUL_HTTP_ADDR", s.URL)
	return &seen
}

func TestCatalogCommands(t *testing.T) {
	seen := answering(t, map[string]string{
		"/v1/catalog/datacenters": `["dc1","dc2"]`,
		"/v1/catalog/nodes":       `[{"ID":"aaaaaaaa-1111","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":{"wan":"1.2.3.4","lan":"10.0.0.1"},"Meta":{"os":"linux"}}]`,
		"/v1/catalog/service/web": `[{"ID":"aaaaaaaa-1111","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1"},{"ID":"aaaaaaaa-1111","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1"}]`,
		"/v1/catalog/service/no":  `[]`,
		"/v1/catalog/services":    `{"web":["b","a"],"consul":[]}`,
		"/v1/catalog/node/n1":     `{"Node":{"Node":"n1"},"Services":{"w1":{"Service":"web","Tags":["a"]},"w2":{"Service":"web","Tags":["b","a"]}}}`,
		"/v1/catalog/node/nobody": `null`,
	})
	tests := []struct {
		args             []string
		out, errs, query string
	}{
		{[]string{"datacenters"}, "dc1\ndc2\n", "", "/v1/catalog/datacenters"},
		{[]string{"nodes", "-node-meta=os=linux", "-near=_agent", "-datacenter=dc2", "-stale", "-token=t", "-filter=Node==n1"},
			"Node  ID        Address   DC\nn1    aaaaaaaa  10.0.0.1  dc1\n", "", "GET /v1/catalog/nodes?dc=dc2&filter=Node%3D%3Dn1&near=_agent&node-meta=os%3Alinux&stale= t"},
		{[]string{"nodes", "-detailed"}, "Node  ID             Address   DC   TaggedAddresses            Meta\nn1    aaaaaaaa-1111  10.0.0.1  dc1  lan=10.0.0.1, wan=1.2.3.4  os=linux\n", "", ""},
		{[]string{"nodes", "--service=web"}, "Node  ID        Address   DC\nn1    aaaaaaaa  10.0.0.1  dc1\n", "", ""},
		{[]string{"nodes", "-service=no"}, "", "No nodes match the given query - try expanding your search.\n", ""},
		{[]string{"services"}, "consul\nweb\n", "", ""},
		{[]string{"services", "-tags"}, "consul  \nweb     a,b\n", "", ""},
		{[]string{"services", "-node=n1", "-tags"}, "web  a,b\n", "", ""},
		{[]string{"services", "-node=nobody"}, "", "No services match the given query - try expanding your search.\n", ""},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			*seen = nil
			code, out, errs := execute(t, append([]string{"catalog"}, tt.args...)...)
			if code != 0 || out != tt.out || errs != tt.errs {
				t.Errorf("exit %d\n%q\n%q\nwant\n%q\n%q", code, out, errs, tt.out, tt.errs)
			}
			if !strings.Contains(strings.Join(*seen, "\n"), tt.query) {
				t.Errorf("asked %q, want %q", *seen, tt.query)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	answering(t, map[string]string{"/v1/agent/self": `{"Stats":{"raft":{"state":"Leader","num_peers":"0"},"agent":{"checks":"1"}}}`})
	code, out, _ := execute(t, "info")
	if want := "agent:\n\tchecks = 1\nraft:\n\tnum_peers = 0\n\tstate = Leader\n"; code != 0 || out != want {
		t.Errorf("exit %d, %q, want %q", code, out, want)
	}
}

func TestServicesRegister(t *testing.T) {
	var bodies []map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if r.Method == http.MethodPut && json.NewDecoder(r.Body).Decode(&body) == nil {
			bodies = append(bodies, body)
		}
	}))
	defer s.Close()
	t.Setenv("CONSUL_HTTP_ADDR", s.URL)
	code, out, errs := execute(t, "services", "register", "-name=api", "-id=a1", "-port=80", "-tag=x", "--tag=y", "-meta=k=v=w",
		"-address=10.0.0.1", "-tagged-address=wan=[2001:db8::1]:443", "-tagged-address=lan=10.0.0.9")
	if code != 0 || out != "Registered service: api\n" || errs != "" {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	got, err := json.Marshal(bodies)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"Address":"10.0.0.1","Check":null,"Checks":null,"ID":"a1","Meta":{"k":"v=w"},"Name":"api","Port":80,"TaggedAddresses":{"lan":{"Address":"10.0.0.9","Port":0},"wan":{"Address":"2001:db8::1","Port":443}},"Tags":["x","y"]}]`
	if string(got) != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	bodies = nil
	file := filepath.Join(t.TempDir(), "svc.hcl")
	text := `services { name = "one" port = 1 check { ttl = "1h" } }
services { name = "two" id = "t2" checks = [{ http = "http://x" interval = "10s" }] }`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs = execute(t, "services", "register", file); code != 0 || out != "Registered service: one\nRegistered service: two\n" {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	if check := bodies[0]["Checks"].([]any)[0].(map[string]any); check["TTL"] != "1h0m0s" {
		t.Errorf("check %v", check)
	}
	if check := bodies[1]["Checks"].([]any)[0].(map[string]any); check["HTTP"] != "http://x" || check["Interval"] != "10s" {
		t.Errorf("check %v", check)
	}
	if code, out, _ = execute(t, "services", "deregister", file); code != 0 || out != "Deregistered service: one\nDeregistered service: t2\n" {
		t.Errorf("exit %d, %q", code, out)
	}
	if code, _, errs = execute(t, "services", "register", "nothere.json"); code != 1 || !strings.HasPrefix(errs, "Error: config: Open failed on nothere.json. open nothere.json: no such file or directory") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestTaggedAddresses(t *testing.T) {
	for text, want := range map[string]api.ServiceAddress{
		"10.0.0.1":         {Address: "10.0.0.1"},
		"10.0.0.1:80":      {Address: "10.0.0.1", Port: 80},
		"[2001:db8::1]:80": {Address: "2001:db8::1", Port: 80},
		"2001:db8::1":      {Address: "2001:db8::1"},
		"host.example:1":   {Address: "host.example", Port: 1},
	} {
		got, err := taggedAddresses(textMap{"wan": text})
		if err != nil || got["wan"] != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := taggedAddresses(textMap{"wan": "h:99999"}); err == nil {
		t.Error("port 99999 was taken")
	}
}

func TestWrap(t *testing.T) {
	if got := wrap("aa bb  cc dddddddd e", 5); got != "aa bb\ncc\ndddddddd\ne" {
		t.Errorf("%q", got)
	}
}
