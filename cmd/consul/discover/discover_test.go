package discover

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
	"consul.internal/cmd/consul/commandtest"
)

// execute runs one command line of this family.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return commandtest.Run(t, Commands(), args...)
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

func TestCatalogCommands(t *testing.T) {
	seen := commandtest.Answering(t, map[string]string{
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
	commandtest.Answering(t, map[string]string{"/v1/agent/self": `{"Stats":{"raft":{"state":"Leader","num_peers":"0"},"agent":{"checks":"1"}}}`})
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
		got, err := taggedAddresses(command.Map{"wan": text})
		if err != nil || got["wan"] != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := taggedAddresses(command.Map{"wan": "h:99999"}); err == nil {
		t.Error("port 99999 was taken")
	}
}

func TestRTT(t *testing.T) {
	const coord = `{"Vec":[%,0,0,0,0,0,0,0],"Error":1.5,"Adjustment":0,"Height":0.00001}`
	at := func(x string) string { return strings.Replace(coord, "%", x, 1) }
	seen := commandtest.Answering(t, map[string]string{
		"/v1/agent/self": `{"Config":{"NodeName":"n1","Datacenter":"dc1"}}`,
		"/v1/coordinate/nodes": `[{"Node":"n1","Segment":"","Coord":` + at("0") + `},{"Node":"n2","Segment":"","Coord":` + at("0.0005") + `},
			{"Node":"n3","Segment":"alpha","Coord":` + at("0") + `},{"Node":"odd","Segment":"","Coord":{"Vec":[1]}}]`,
		"/v1/coordinate/datacenters": `[{"Datacenter":"dc1","AreaID":"wan","Coordinates":[{"Node":"n1","Coord":` + at("0") + `}]},
			{"Datacenter":"dc2","AreaID":"wan","Coordinates":[{"Node":"n2.dc2","Coord":` + at("0.001") + `}]}]`,
	})
	for _, tt := range []commandtest.Case{
		{Args: []string{"rtt", "n1", "n2"}, Out: "Estimated n1 <-> n2 rtt: 0.520 ms (using LAN coordinates)\n"},
		{Args: []string{"rtt", "n2"}, Out: "Estimated n2 <-> n1 rtt: 0.520 ms (using LAN coordinates)\n"},
		{Args: []string{"rtt", "-wan", "n1.dc1", "n2.dc2"}, Out: "Estimated n1.dc1 <-> n2.dc2 rtt: 1.020 ms (using WAN coordinates)\n"},
		{Args: []string{"rtt", "-wan", "n2.dc2"}, Out: "Estimated n2.dc2 <-> n1.dc1 rtt: 1.020 ms (using WAN coordinates)\n"},
		{Args: []string{"rtt", "-wan", "n1"}, Code: 1, Errs: "Node names must be specified as <node name>.<datacenter> with -wan, which \"n1\" is not\n"},
		{Args: []string{"rtt", "nobody"}, Code: 1, Errs: "Could not find a coordinate for node \"nobody\"\n"},
		{Args: []string{"rtt", "n1", "n3"}, Code: 1, Errs: "Could not find a common coordinate for nodes \"n1\" and \"n3\"\n"},
		{Args: []string{"rtt", "n1", "odd"}, Code: 1, Errs: "Could not find a common coordinate for nodes \"n1\" and \"odd\"\n"},
		{Args: []string{"rtt"}, Code: 1, Errs: "One or two node names must be specified\n\nUsage: consul rtt [options] node1 [node2]\n", ErrsPrefix: true, NotAsked: true},
	} {
		tt.Check(t, Commands(), seen)
	}
}
