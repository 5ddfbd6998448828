package agent

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/fault"
)

// sameJSON compares a value's JSON with a text.
func sameJSON(t *testing.T, what string, v any, text string) {
	t.Helper()
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := errors.Join(json.Unmarshal(got, &a), json.Unmarshal([]byte(text), &b)); err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) != string(y) {
		t.Errorf("%s\n%s\nwant\n%s", what, x, y)
	}
}

func TestServicesAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		l := open(t, s, testConfig())
		sameJSON(t, "no services", l.Services(), `{}`)
		l.service(`{"Name":"web"}`)
		l.service(`{"ID":"web-2","Name":"web","Tags":["primary","v1"],"Address":"10.0.0.2","Port":8080,"Meta":{"version":"4"},
			"TaggedAddresses":{"lan":{"address":"10.0.0.2","port":8080},"wan":{"address":"198.18.0.1","port":80}},
			"EnableTagOverride":true,"Weights":{"Passing":10,"Warning":2}}`)
		l.service(`{"id":"snake","name":"snake","enable_tag_override":true,"tagged_addresses":{"lan":{"address":"1.2.3.4","port":5}},"meta":{"a_B":"b"}}`)
		l.service(`{"Name":"six","Address":"2001:db8::1","Port":1}`)
		l.service(`{"Kind":"connect-proxy","Name":"p","Port":1,"Proxy":{"DestinationServiceName":"web","Config":{"a":1}},"Connect":{"SidecarService":{}}}`)
		l.service(`{"Name":"native","Connect":{"Native":true},"SocketPath":"/run/x"}`)
		sameJSON(t, "services", l.Services(), `{
			"web":{"ID":"web","Service":"web","Tags":[],"Meta":{},"Port":0,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1"},
			"web-2":{"ID":"web-2","Service":"web","Tags":["primary","v1"],"Meta":{"version":"4"},"Port":8080,"Address":"10.0.0.2",
				"TaggedAddresses":{"lan":{"Address":"10.0.0.2","Port":8080},"lan_ipv4":{"Address":"10.0.0.2","Port":8080},"wan":{"Address":"198.18.0.1","Port":80},"wan_ipv4":{"Address":"10.0.0.2","Port":8080}},
				"Weights":{"Passing":10,"Warning":2},"EnableTagOverride":true,"Datacenter":"dc1"},
			"snake":{"ID":"snake","Service":"snake","Tags":[],"Meta":{"a_B":"b"},"Port":0,"Address":"","TaggedAddresses":{"lan":{"Address":"1.2.3.4","Port":5}},
				"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":true,"Datacenter":"dc1"},
			"six":{"ID":"six","Service":"six","Tags":[],"Meta":{},"Port":1,"Address":"2001:db8::1",
				"TaggedAddresses":{"lan_ipv6":{"Address":"2001:db8::1","Port":1},"wan_ipv6":{"Address":"2001:db8::1","Port":1}},
				"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1"},
			"p":{"Kind":"connect-proxy","ID":"p","Service":"p","Tags":[],"Meta":{},"Port":1,"Address":"","Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1",
				"Proxy":{"DestinationServiceName":"web","Config":{"a":1},"MeshGateway":{},"Expose":{}}},
			"native":{"ID":"native","Service":"native","Tags":[],"Meta":{},"Port":0,"Address":"","SocketPath":"/run/x","Connect":{"Native":true},
				"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Datacenter":"dc1"}}`)
		one, err := l.Service("web")
		if err != nil || one.ContentHash == "" {
			t.Fatal(one, err)
		}
		again, _ := l.Service("web")
		l.service(`{"Name":"web","Port":81}`)
		other, _ := l.Service("web")
		if one.ContentHash != again.ContentHash || one.ContentHash == other.ContentHash {
			t.Errorf("hashes %s, %s and after a change %s", one.ContentHash, again.ContentHash, other.ContentHash)
		}
	})
}

func TestWaitService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newServers(), testConfig())
		l.service(`{"Name":"web"}`)
		one, _ := l.Service("web")
		wait := func(hash string) (*ServiceInfo, time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			start := time.Now()
			info, err := l.WaitService(ctx, "web", hash)
			return info, time.Since(start), err
		}
		if _, took, err := wait("other"); err != nil || took != 0 {
			t.Errorf("another hash: %v after %v", err, took)
		}
		if info, took, err := wait(one.ContentHash); err != nil || took != 10*time.Second || info.ContentHash != one.ContentHash {
			t.Errorf("no change: %v %v after %v", info, err, took)
		}
		time.AfterFunc(2*time.Second, func() { l.service(`{"Name":"else"}`) })
		time.AfterFunc(3*time.Second, func() { l.service(`{"Name":"web","Port":1}`) })
		if info, took, err := wait(one.ContentHash); err != nil || took != 3*time.Second || info.Port != 1 {
			t.Errorf("a change: %v %v after %v", info, err, took)
		}
		info, _ := l.Service("web")
		time.AfterFunc(time.Second, func() { _ = l.DeregisterService("web") })
		if _, took, err := wait(info.ContentHash); !errors.Is(err, fault.NotFound) || took != time.Second {
			t.Errorf("deregistered: %v after %v", err, took)
		}
	})
}

func TestRegistrationsRefused(t *testing.T) {
	cfg := testConfig()
	cfg.EnableScriptChecks, cfg.EnableLocalScriptChecks = false, true
	l, err := New(cfg, Deps{Caller: newServers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for _, tt := range []struct{ what, body, err string }{
		{"service", ``, "EOF"},
		{"service", `{"Name":`, "unexpected EOF"},
		{"service", `{"Name":"x"} trailing`, "after top-level value"},
		{"service", `[]`, "expected a JSON object, found a list"},
		{"service", `{"Port":1}`, "Missing service name"},
		{"service", `{"Name":"x","Port":"http"}`, `Port: expected a whole number, found the text "http"`},
		{"service", `{"Name":"x","Port":1.5}`, "Port: expected a whole number, found the number 1.5"},
		{"service", `{"Name":"x","Port":70000}`, "Invalid service port 70000"},
		{"service", `{"Name":"x","Tags":"a"}`, "Tags: expected a list"},
		{"service", `{"Name":"x","Tags":["a",1]}`, "Tags[1]: expected a text, found the number 1"},
		{"service", `{"Name":"x","Weights":{"Passing":0,"Warning":-1}}`, "Invalid Weights: Passing must be greater than 0"},
		{"service", `{"Name":"x","Weights":{"Passing":1,"Warning":-1}}`, "Invalid Weights: Warning must be greater"},
		{"service", `{"Name":"x","Address":"0.0.0.0"}`, "Invalid service address"},
		{"service", `{"Name":"x","Address":"::"}`, "Invalid service address"},
		{"service", `{"Name":"x","Meta":{"a b":"c"}}`, "Invalid Service Meta: Couldn't load metadata pair ('a b', 'c'): Key contains invalid characters"},
		{"service", `{"Name":"x","Bogus":1}`, `unknown field "Bogus"`},
		{"service", `{"Name":"x","name":"y"}`, `field "name" is given twice`},
		{"service", `{"Name":"x","Meta":{"a":"1","a":"2"}}`, `field "Meta.a" is given twice`},
		{"service", `{"Name":"consul"}`, "reserved for the servers"},
		{"service", `{"Name":"x","Kind":"connect-proxy"}`, "DestinationServiceName must be non-empty"},
		{"service", `{"Name":"x","Check":{"HTTP":"http://x/"}}`, "Invalid check: Interval must be > 0"},
		{"service", `{"Name":"x","Check":{"Bogus":1}}`, `unknown field "Check.Bogus"`},
		{"service", `{"Name":"x","Checks":[{"CheckID":"a","TTL":"1s"},{"CheckID":"a","TTL":"1s"}]}`, `duplicate check ID "a"`},
		{"service", `{"Name":"x","Check":{"Args":["true"],"Interval":"1s"}}`, "Scripts are disabled on this agent from remote calls"},
		{"service", `{"Name":"x","Check":{"CheckID":"serfHealth","TTL":"1s"}}`, "reserved"},
		{"service", `{"Name":"x","Proxy":{"Config":` + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100) + `}}`, "nested deeper"},
		{"service", `{"Name":"` + strings.Repeat("x", maxBody) + `"}`, "larger than"},
		{"check", `{"Name":"x","HTTP":"http://localhost/"}`, "Invalid check: Interval must be > 0"},
		{"check", `{"Name":"x"}`, "Invalid check: TTL must be > 0 for TTL checks"},
		{"check", `{"TTL":"10s"}`, "Missing check name"},
		{"check", `{"Name":"x","TTL":"10s","Interval":"10s","HTTP":"http://localhost/"}`, "Invalid check: Interval and TTL cannot both be specified"},
		{"check", `{"Name":"x","TTL":"10s","Status":"superb"}`, "Bad check status"},
		{"check", `{"Name":"x","TTL":"abc"}`, `time: invalid duration "abc"`},
		{"check", `{"Name":"x","Header":{"a":"b"}}`, "Header.a: expected a list"},
		{"update", `{`, "unexpected EOF"},
		{"update", `{"Status":1}`, "Status: expected a text"},
	} {
		var err error
		switch tt.what {
		case "service":
			var def *ServiceDefinition
			if def, err = DecodeService(strings.NewReader(tt.body)); err == nil {
				err = l.RegisterService(def, RegisterOptions{})
			}
		case "check":
			var def *checks.Definition
			if def, err = DecodeCheck(strings.NewReader(tt.body)); err == nil {
				err = l.RegisterCheck(def)
			}
		case "update":
			_, err = DecodeCheckUpdate(strings.NewReader(tt.body))
		}
		if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, fault.Invalid) {
			t.Errorf("%.80s: error %v, want an invalid one with %q", tt.body, err, tt.err)
		}
	}
	if n := len(l.Services()) + len(l.Checks()); n != 0 {
		t.Errorf("%d refused registrations have left something", n)
	}
}

// An os_service check needs systemd; without it the request is not at fault.
func TestOSServiceNeedsSystemd(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ runDir, err string }{{dir, ""}, {filepath.Join(dir, "none"), "not implemented"}} {
		cfg := testConfig()
		cfg.Systemd = checks.Systemd{RunDir: tt.runDir, Command: "/bin/true"}
		l := open(t, newServers(), cfg)
		def, err := DecodeCheck(strings.NewReader(`{"Name":"x","OSService":"y","Interval":"1h"}`))
		if err != nil {
			t.Fatal(err)
		}
		err = l.RegisterCheck(def)
		if tt.err == "" {
			if err != nil || l.Checks()["x"] == nil || l.Checks()["x"].Type != "os_service" {
				t.Errorf("with systemd: %v, %v", err, l.Checks())
			}
			continue
		}
		if err == nil || fault.Of(err) != "" || !strings.HasPrefix(err.Error(), tt.err) || len(l.Checks()) != 0 {
			t.Errorf("without systemd: %v, %v", err, l.Checks())
		}
	}
}

func TestUnknownIDs(t *testing.T) {
	l, err := New(testConfig(), Deps{Caller: newServers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	service := `Unknown service ID "nope". Ensure that the service ID is passed, not the service name.`
	check := `Unknown check ID "nope". Ensure that the check ID is passed, not the check name.`
	_, one := l.Service("nope")
	_, health := l.ServiceHealth("nope")
	_, _, named := l.ServicesHealth("nope")
	for text, err := range map[string]error{
		service:                           l.DeregisterService("nope"),
		service + " ":                     l.EnableServiceMaintenance("nope", ""),
		service + "  ":                    l.DisableServiceMaintenance("nope"),
		check:                             l.DeregisterCheck("nope"),
		check + " ":                       l.UpdateTTL("nope", catalog.Passing, ""),
		"unknown service ID: nope":        one,
		"ServiceId nope not found":        health,
		"ServiceName nope Not Found":      named,
		`ServiceID "nope" does not exist`: l.RegisterCheck(&checks.Definition{Name: "x", TTL: time.Hour, ServiceID: "nope"}),
	} {
		if err == nil || err.Error() != strings.TrimSpace(text) || !errors.Is(err, fault.NotFound) {
			t.Errorf("error %v, want %q", err, text)
		}
	}
}

func TestChecksAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Set = Set{
			Checks:   []checks.Definition{ttlCheck("filecheck", time.Hour)},
			Services: []ServiceDefinition{{Name: "f", Checks: []checks.Definition{{TCP: "127.0.0.1:1", Interval: time.Hour}}}},
		}
		l := open(t, newServers(), cfg)
		l.check(`{"Name":"mem","TTL":"3600000000000ns","Notes":"memory"}`)
		l.check(`{"ID":"tcp","Name":"tcp","TCP":"127.0.0.1:1","Interval":"1h","Timeout":"1s"}`)
		l.service(`{"Name":"db","ID":"db1","Tags":["a"],"Checks":[{"TTL":"1h"},{"Name":"named","check_id":"mine","ttl":3600000000000,"Status":"passing"}]}`)
		l.check(`{"ID":"dbttl","Name":"db ttl","ServiceID":"db1","TTL":"1h","Status":"passing"}`)
		common := `"Node":"n1","CreateIndex":0,"ModifyIndex":0,"Definition":{},"ExposedPort":0,`
		sameJSON(t, "checks", l.Checks(), `{
			"filecheck":{`+common+`"CheckID":"filecheck","Name":"filecheck","Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],"Status":"critical","Type":"","Interval":"0s","Timeout":"0s"},
			"service:f":{`+common+`"CheckID":"service:f","Name":"Service 'f' check","Notes":"","Output":"","ServiceID":"f","ServiceName":"f","ServiceTags":[],"Status":"critical","Type":"tcp","Interval":"1h0m0s","Timeout":""},
			"mem":{`+common+`"CheckID":"mem","Name":"mem","Notes":"memory","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],"Status":"critical","Type":"ttl","Interval":"0s","Timeout":"0s"},
			"tcp":{`+common+`"CheckID":"tcp","Name":"tcp","Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],"Status":"critical","Type":"tcp","Interval":"1h0m0s","Timeout":"1s"},
			"service:db1:1":{`+common+`"CheckID":"service:db1:1","Name":"Service 'db' check","Notes":"","Output":"","ServiceID":"db1","ServiceName":"db","ServiceTags":["a"],"Status":"critical","Type":"ttl","Interval":"","Timeout":""},
			"mine":{`+common+`"CheckID":"mine","Name":"named","Notes":"","Output":"","ServiceID":"db1","ServiceName":"db","ServiceTags":["a"],"Status":"passing","Type":"ttl","Interval":"","Timeout":""},
			"dbttl":{`+common+`"CheckID":"dbttl","Name":"db ttl","Notes":"","Output":"","ServiceID":"db1","ServiceName":"db","ServiceTags":["a"],"Status":"passing","Type":"ttl","Interval":"0s","Timeout":"0s"}}`)
		if err := l.UpdateTTL("tcp", catalog.Passing, ""); err == nil || err.Error() != `CheckID "tcp" does not have associated TTL` || fault.Of(err) != "" {
			t.Errorf("passing a check that is no TTL check: %v", err)
		}
		if err := l.UpdateTTL("mem", "great", ""); !errors.Is(err, fault.Invalid) || err.Error() != "Invalid check status: 'great'" {
			t.Errorf("a status that is none: %v", err)
		}
	})
}

func TestReregistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newServers(), testConfig())
		l.service(`{"Name":"web","Checks":[{"CheckID":"a","TTL":"1h"},{"CheckID":"b","TTL":"1h"}]}`)
		l.check(`{"ID":"c","Name":"c","ServiceID":"web","TTL":"1h"}`)
		l.check(`{"ID":"n","Name":"n","TTL":"1h"}`)
		for _, id := range []string{"a", "b", "c", "n"} {
			l.ttl(id, catalog.Passing, "ok")
		}
		// What is registered again keeps its state, and its time goes on.
		time.Sleep(50 * time.Minute)
		l.service(`{"Name":"web","Tags":["new"],"Checks":[{"CheckID":"a","TTL":"1h"}]}`)
		l.check(`{"ID":"n","Name":"n","TTL":"1h"}`)
		want(t, "checks", l.states(), "a=passing ok", "b=passing ok", "c=passing ok", "n=passing ok")
		if tags := l.Checks()["c"].ServiceTags; !slices.Equal(tags, []string{"new"}) {
			t.Errorf("tags of a check that stayed: %q", tags)
		}
		time.Sleep(11 * time.Minute)
		if s := l.Checks()["a"].Status; s != catalog.Critical {
			t.Errorf("a registration took the place of a heartbeat: %s", s)
		}
		// A different definition of a service's check keeps the state too; a status said for a single check counts.
		l.ttl("b", catalog.Warning, "so so")
		l.service(`{"Name":"web","Checks":[{"CheckID":"b","TTL":"2h","Status":"passing"}]}`)
		l.check(`{"ID":"n","Name":"n","TTL":"1h","Status":"passing"}`)
		if b, n := l.Checks()["b"], l.Checks()["n"]; b.Status != catalog.Warning || n.Status != catalog.Passing || n.Output != "" {
			t.Errorf("b %+v, n %+v", b, n)
		}
		// replace-existing-checks removes what is not named, but not maintenance.
		if err := l.EnableServiceMaintenance("web", ""); err != nil {
			t.Fatal(err)
		}
		if err := l.RegisterService(&ServiceDefinition{Name: "web", Checks: []checks.Definition{ttlCheck("d", time.Hour)}}, RegisterOptions{ReplaceExistingChecks: true}); err != nil {
			t.Fatal(err)
		}
		want(t, "checks", slices.Sorted(maps.Keys(l.Checks())), "_service_maintenance:web", "d", "n")
		if err := l.DeregisterService("web"); err != nil {
			t.Fatal(err)
		}
		want(t, "checks", slices.Sorted(maps.Keys(l.Checks())), "n")
	})
}

func TestMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		l := open(t, s, testConfig())
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		l.service(`{"Name":"web","Port":80}`)
		do(l.EnableServiceMaintenance("web", "broken disk"))
		do(l.EnableServiceMaintenance("web", "other"))
		sameJSON(t, "checks", l.Checks(), `{"_service_maintenance:web":{"CheckID":"_service_maintenance:web","CreateIndex":0,"Definition":{},"ExposedPort":0,
			"Interval":"","ModifyIndex":0,"Name":"Service Maintenance Mode","Node":"n1","Notes":"broken disk","Output":"","ServiceID":"web","ServiceName":"web",
			"ServiceTags":[],"Status":"critical","Timeout":"","Type":"maintenance"}}`)
		h, err := l.ServiceHealth("web")
		do(err)
		sameJSON(t, "health", h, `{"AggregatedStatus":"maintenance","Checks":[{"CheckID":"_service_maintenance:web","CreateIndex":0,"Definition":{"Body":"",
			"DeregisterCriticalServiceAfter":"0s","GRPC":"","GRPCUseTLS":false,"HTTP":"","Header":null,"Interval":"0s","Method":"","OSService":"","TCP":"","TCPUseTLS":false,
			"TLSServerName":"","TLSSkipVerify":false,"Timeout":"0s","UDP":""},"ExposedPort":0,"ModifyIndex":0,"Name":"Service Maintenance Mode","Node":"n1",
			"Notes":"broken disk","Output":"","ServiceID":"web","ServiceName":"web","ServiceTags":null,"Status":"critical","Type":""}],
			"Service":{"Address":"","Datacenter":"dc1","EnableTagOverride":false,"ID":"web","Meta":{},"Port":80,"Service":"web","Tags":[],"Weights":{"Passing":1,"Warning":1}}}`)
		do(l.EnableNodeMaintenance(""))
		time.Sleep(time.Second)
		want(t, "catalog", s.holds(), "service web", "check _node_maintenance=critical", "check _service_maintenance:web=critical")
		if c := l.Checks()["_node_maintenance"]; c.Name != "Node Maintenance Mode" ||
			c.Notes != "Maintenance mode is enabled for this node, but no reason was provided. This is a default message." {
			t.Errorf("%+v", c)
		}
		do(l.DisableServiceMaintenance("web"))
		do(l.DisableServiceMaintenance("web"))
		do(l.DisableNodeMaintenance())
		do(l.EnableServiceMaintenance("web", ""))
		if c := l.Checks()["_service_maintenance:web"]; c.Notes != "Maintenance mode is enabled for this service, but no reason was provided. This is a default message." {
			t.Errorf("%+v", c)
		}
		do(l.DisableServiceMaintenance("web"))
		time.Sleep(time.Second)
		want(t, "catalog", s.holds(), "service web")
	})
}

func TestServicesHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newServers(), testConfig())
		l.service(`{"Name":"web","ID":"w1","Check":{"TTL":"1h","Status":"passing"}}`)
		l.service(`{"Name":"web","ID":"w2","Check":{"TTL":"1h","Status":"warning"}}`)
		l.service(`{"Name":"db"}`)
		for _, step := range []struct {
			do    func() error
			worst catalog.Status
			each  []catalog.Status
		}{
			{func() error { return nil }, "warning", []catalog.Status{"passing", "warning"}},
			{func() error { return l.RegisterCheck(&checks.Definition{Name: "n", TTL: time.Hour}) }, "critical", []catalog.Status{"critical", "critical"}},
			{func() error { return l.UpdateTTL("n", catalog.Passing, "") }, "warning", []catalog.Status{"passing", "warning"}},
			{func() error { return l.EnableServiceMaintenance("w1", "") }, "maintenance", []catalog.Status{"maintenance", "warning"}},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			list, worst, err := l.ServicesHealth("web")
			var each []catalog.Status
			for _, h := range list {
				each = append(each, h.AggregatedStatus)
			}
			if err != nil || worst != step.worst || !slices.Equal(each, step.each) {
				t.Errorf("%s %q %v, want %s %q", worst, each, err, step.worst, step.each)
			}
		}
	})
}

func TestNamesThatDNSCannotCarry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newServers(), testConfig())
		l.service(`{"Name":"my_service","Tags":["ok","a.b","b_c"]}`)
		l.service(`{"Name":"fine","Tags":["ok"]}`)
		if n := l.logs.FilterMessageSnippet("Service name will not be discoverable").Len(); n != 1 {
			t.Errorf("%d warnings about names", n)
		}
		if n := l.logs.FilterMessageSnippet("Service tag will not be discoverable").Len(); n != 1 {
			t.Errorf("%d warnings about tags", n)
		}
		if l.Services()["my_service"] == nil {
			t.Error("the service is not there")
		}
	})
}
