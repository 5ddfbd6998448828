package configs

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"consul.internal/dnsserver"
	"consul.internal/dnsserver/recurse"
	"consul.internal/internal/fault"
)

// testHost is a machine with one private address.
func testHost() Host {
	return Host{
		Hostname: func() (string, error) { return "machine", nil },
		Interfaces: func() ([]Interface, error) {
			return []Interface{
				{Name: "lo", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}},
				{Name: "eth0", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("fe80::1")}},
			}, nil
		},
		Expand: func(text string) (string, error) {
			switch strings.TrimSpace(text) {
			case "{{ GetPrivateIP }}":
				return "10.0.0.5", nil
			case "{{ Two }}":
				return "10.0.0.5 127.0.0.1", nil
			case "{{ None }}":
				return "", nil
			}
			return "", fmt.Errorf("template %q failed", text)
		},
	}
}

// write puts files into a directory; the working directory is that one, so
// that messages name short paths.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func mustLoad(t *testing.T, args ...string) (*Settings, []string) {
	t.Helper()
	s, warnings, err := Load(args, testHost())
	if err != nil {
		t.Fatal(err)
	}
	return s, warnings
}

func TestDefaults(t *testing.T) {
	s, warnings := mustLoad(t, "-data-dir=d")
	if len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	want := &Settings{
		Server: Server{RejoinAgeMax: 168 * time.Hour, SessionTTLMin: 10 * time.Second},
		Node:   Node{Name: "machine", Datacenter: "dc1", PrimaryDatacenter: "dc1"},
		Raft:   Raft{Protocol: 3, Multiplier: 1, SnapshotThreshold: 16384, SnapshotInterval: 30 * time.Second, TrailingLogs: 10240, RPCHoldTimeout: 7 * time.Second},
		Paths:  Paths{DataDir: "d"},
		Ports:  Ports{DNS: 8600, HTTP: 8500, HTTPS: -1, GRPC: -1, GRPCTLS: -1, SerfLAN: 8301, SerfWAN: 8302, Server: 8300},
		Limits: Limits{HTTPMaxConnsPerClient: 200, HTTPSHandshakeTimeout: 5 * time.Second, RPCMaxConnsPerClient: 100, RPCHandshakeTimeout: 5 * time.Second, RPCClientTimeout: time.Minute, RPCRate: -1, RPCMaxBurst: 1000,
			Requests: RequestLimits{Mode: "disabled", ReadRate: -1, WriteRate: -1, SourceReadRate: -1, SourceWriteRate: -1}, KVMaxValueSize: 512 << 10, TxnMaxReqLen: 512 << 10},
		DNS: DNS{
			Domain: "consul.", RecursorTimeout: 2 * time.Second, RecursionAllow: recurse.PrivateRanges(), AllowStale: true, MaxStale: 87600 * time.Hour, UDPAnswerLimit: 3, NodeMetaTXT: true,
			SOARefresh: 3600, SOARetry: 600, SOAExpire: 86400, Guard: dnsserver.DefaultGuard(),
		},
		HTTP:      HTTP{MaxHeaderBytes: 1 << 20, UIPath: "/ui/"},
		Queries:   Queries{DefaultTime: 5 * time.Minute, MaxTime: 10 * time.Minute},
		Checks:    Checks{UpdateInterval: 5 * time.Minute, OutputMaxSize: 4096},
		Leaving:   Leaving{OnTerminate: true, DrainTime: 5 * time.Second},
		Joining:   Joining{Interval: 30 * time.Second, IntervalWAN: 30 * time.Second},
		Gossip:    Gossip{ReconnectTimeout: 72 * time.Hour, ReconnectWAN: 72 * time.Hour, VerifyIncoming: true, VerifyOutgoing: true},
		Autopilot: Autopilot{CleanupDeadServers: true, LastContactThreshold: 200 * time.Millisecond, MaxTrailingLogs: 250, ServerStabilizationTime: 10 * time.Second},
		ACL:       ACL{DefaultPolicy: "allow", DownPolicy: "extend-cache", TokenTTL: 30 * time.Second, PolicyTTL: 30 * time.Second, RoleTTL: 30 * time.Second},
		Log:       Log{Level: "INFO", RotateDuration: 24 * time.Hour, SyslogFacility: "LOCAL0"},
		Telemetry: Telemetry{Prefix: "consul", FilterDefault: true, PrometheusRetention: time.Minute, RetryFailed: true},
	}
	lan := netip.MustParseAddr("10.0.0.5")
	any4 := netip.MustParseAddr("0.0.0.0")
	lo := netip.MustParseAddr("127.0.0.1")
	want.Addresses = Addresses{
		Bind: any4, Client: []netip.Addr{lo}, AdvertiseLAN: lan, AdvertiseLANIPv4: lan, AdvertiseWAN: lan, AdvertiseWANIPv4: lan,
		SerfLAN: netip.AddrPortFrom(any4, 8301), SerfWAN: netip.AddrPortFrom(any4, 8302),
		DNS: []netip.AddrPort{netip.AddrPortFrom(lo, 8600)}, HTTP: []netip.AddrPort{netip.AddrPortFrom(lo, 8500)},
	}
	got, wanted := reflect.ValueOf(*s), reflect.ValueOf(*want)
	for i := range got.NumField() {
		if f := got.Type().Field(i); f.IsExported() && !reflect.DeepEqual(got.Field(i).Interface(), wanted.Field(i).Interface()) {
			t.Errorf("%s: got  %+v\nwant %+v", f.Name, got.Field(i), wanted.Field(i))
		}
	}
}

func TestDev(t *testing.T) {
	s, warnings := mustLoad(t, "-dev", "-node=devn")
	if !s.Dev || !s.Server.Enabled || s.Server.Bootstrap || s.Addresses.Bind.String() != "127.0.0.1" || s.Addresses.AdvertiseLAN.String() != "127.0.0.1" ||
		s.Log.Level != "DEBUG" || !s.HTTP.EnableDebug || s.Paths.DataDir != "" || s.Raft.Multiplier != 1 || !s.Leaving.SkipOnInterrupt || s.Leaving.OnTerminate {
		t.Errorf("settings %+v", s)
	}
	if len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	s, _ = mustLoad(t, "--dev", "--bind", "127.0.0.9", "-client=127.0.0.9", "-log-level=warn")
	if s.Addresses.SerfWAN.String() != "127.0.0.9:8302" || s.Addresses.HTTP[0].String() != "127.0.0.9:8500" || s.Log.Level != "WARN" {
		t.Errorf("addresses %+v", s.Addresses)
	}
}

func TestMergeOrder(t *testing.T) {
	write(t, map[string]string{
		"one.hcl": `data_dir = "x"
datacenter = "one"
node_meta { a = "1" b = "1" }
recursors = ["1.1.1.1"]
ports { dns = 1 http = 11 }
service { name = "s1" }`,
		"dir/20.json":    `{"datacenter": "three", "node_meta": {"c": "3"}, "recursors": ["3.3.3.3"], "services": [{"name": "s3"}]}`,
		"dir/10.hcl":     `datacenter = "two" node_meta { b = "2" } recursors = ["2.2.2.2"] service { name = "s2" } ports { dns = 2 }`,
		"dir/notes.txt":  `not read`,
		"dir/sub/x.json": `{"broken": `,
	})
	s, warnings := mustLoad(t, "-config-file=one.hcl", "-config-dir", "dir", "-recursor=9.9.9.9", "-recursor", "8.8.8.8",
		"-hcl", `datacenter = "four" recursors = ["4.4.4.4"]`, "-node-meta=b:9", "-node-meta=d:x:y", "-http-port=12")
	if s.Node.Datacenter != "four" || s.Ports.DNS != 2 || s.Ports.HTTP != 12 {
		t.Errorf("datacenter %s, ports %+v", s.Node.Datacenter, s.Ports)
	}
	if want := map[string]string{"a": "1", "b": "9", "c": "3", "d": "x:y"}; !reflect.DeepEqual(s.Node.Meta, want) {
		t.Errorf("meta %v", s.Node.Meta)
	}
	if got := fmt.Sprint(s.DNS.Recursors); got != "[9.9.9.9:53 8.8.8.8:53 1.1.1.1:53 2.2.2.2:53 3.3.3.3:53 4.4.4.4:53]" {
		t.Errorf("recursors %s", got)
	}
	var names []string
	for _, d := range s.Definitions.Services {
		names = append(names, d.Name)
	}
	if got := strings.Join(names, " "); got != "s1 s2 s3" {
		t.Errorf("services %s", got)
	}
	if got := strings.Join(warnings, "|"); !strings.Contains(got, "skipping file dir/notes.txt") || strings.Contains(got, "no effect yet") {
		t.Errorf("warnings %s", got)
	}
}

func TestTelemetryKeys(t *testing.T) {
	write(t, map[string]string{"c.hcl": `data_dir = "d"
		telemetry {
			statsd_address = "stats.example" statsite_address = "10.0.0.1:9125" dogstatsd_addr = "[::1]:8125" dogstatsd_tags = ["a:b"]
			disable_hostname = true retry_failed_connection = false enable_host_metrics = true
		}`})
	s, warnings := mustLoad(t, "-config-file=c.hcl")
	want := Telemetry{
		Prefix: "consul", DisableHostname: true, FilterDefault: true, PrometheusRetention: time.Minute, Statsd: "stats.example",
		Statsite: "10.0.0.1:9125", Dogstatsd: "[::1]:8125", DogstatsdTags: []string{"a:b"}, HostMetrics: true,
	}
	if !reflect.DeepEqual(s.Telemetry, want) || strings.Contains(strings.Join(warnings, " "), "telemetry") {
		t.Errorf("%+v, %v", s.Telemetry, warnings)
	}
	for _, key := range []string{"statsd_address", "statsite_address", "dogstatsd_addr"} {
		write(t, map[string]string{"bad.hcl": "data_dir = \"d\"\ntelemetry { " + key + " = \"host:port:x\" }"})
		if _, _, err := Load([]string{"-config-file=bad.hcl"}, SystemHost()); err == nil || !strings.Contains(err.Error(), "bad.hcl:2:") || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestOlderNames(t *testing.T) {
	write(t, map[string]string{"c.json": `{
		"data_dir": "d", "acl_datacenter": "dc9", "acl_master_token": "m", "acl_default_policy": "deny", "acl_token": "t",
		"acl": {"enabled": true, "tokens": {"default": "newer"}}, "start_join": ["a"], "retry_join": ["b"], "recursor": "1.1.1.1",
		"ui": true, "ca_file": "ca.pem", "verify_incoming_rpc": true, "acl_enforce_version_8": true, "statsd_addr": "s",
		"ports": {"rpc": 8400}}`})
	s, warnings := mustLoad(t, "-config-file=c.json", "-dc=dc1", "-join=c", "-join-wan=w")
	e := &s.effective
	if s.Node.PrimaryDatacenter != "dc9" || *e.ACL.Tokens.InitialManagement != "m" || s.ACL.DefaultPolicy != "deny" || !s.ACL.Enabled ||
		*e.ACL.Tokens.Default != "newer" || !*e.UI.Enabled || *e.TLS.Defaults.CAFile != "ca.pem" || !*e.TLS.InternalRPC.VerifyIncoming ||
		*e.Telemetry.StatsdAddr != "s" || s.DNS.Recursors[0].String() != "1.1.1.1:53" {
		t.Errorf("settings %+v", e)
	}
	if got := strings.Join(s.Joining.LAN, " "); got != "c b a" {
		t.Errorf("retry_join %s", got)
	}
	if got := strings.Join(s.Joining.WAN, " "); got != "w" {
		t.Errorf("retry_join_wan %s", got)
	}
	got := strings.Join(warnings, "\n")
	for _, want := range []string{
		"c.json:2:20: acl_datacenter is the older name of primary_datacenter",
		"acl_token is ignored, since acl.tokens.default",
		"acl_enforce_version_8 is a key of old releases and has no effect",
		"no effect yet: ports.rpc",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no warning %q in\n%s", want, got)
		}
	}
}

// TestErrors holds the messages of mistakes against their recorded cores.
func TestErrors(t *testing.T) {
	files := map[string]string{
		"bad.json":    `{"server":true,"data_dir":"x","nonsense_key":1}`,
		"place.json":  `{"data_dir":"x","ports":{"htttp":1}}`,
		"syntax.json": `{"server":`,
		"val.json":    `{"data_dir":"x","bootstrap_expect":-3}`,
		"type.json":   `{"data_dir":7,"server":"maybe"}`,
		"conf.txt":    `server = true`,
		"acl.json":    `{"data_dir":"x","acl":{"enabled":true,"default_policy":"maybe"}}`,
		"svc.json":    `{"data_dir":"x","service":{"name":"x","check":{"http":"http://x"}}}`,
		"dup.json":    `{"data_dir":"x","client_addr":"127.0.0.1","server":true,"ports":{"http":28999,"dns":28999}}`,
		"two/a.hcl":   "a = yes\nb = 1\n",
		"two/b.hcl":   "sevrer = true\nports { dns = \"x\" }\n",
		"file":        "",
	}
	tests := []struct {
		name string
		args string
		want []string
	}{
		{"unknown key", "-config-file=bad.json", []string{"failed to parse bad.json: 1 error occurred:\n\t* bad.json:1:31: invalid config key nonsense_key"}},
		{"near key", "-config-file=place.json", []string{`place.json:1:26: invalid config key ports.htttp; nearest valid key is "http"`}},
		{"syntax", "-config-file=syntax.json", []string{"failed to parse syntax.json: ", "syntax.json:1:11: unexpected end of JSON input"}},
		{"value", "-config-file=val.json", []string{"val.json:1:17: bootstrap_expect cannot be -3. Must be greater than or equal to zero"}},
		{"types", "-config-file=type.json", []string{"type.json: 2 errors occurred:", "type.json:1:13: 'data_dir' expected type 'string'", "type.json:1:24: 'server' expected type 'bool', got unconvertible type 'string', value: 'maybe'"}},
		{"several files at once", "-config-dir=two -hcl nonsense=1", []string{"two/a.hcl:1:5: yes is not a value", `two/b.hcl:1:1: invalid config key sevrer; nearest valid key is "server"`, "two/b.hcl:2:15: 'ports.dns'", "failed to parse flags-0.hcl: 1 error occurred:\n\t* flags-0.hcl:1:1: invalid config key nonsense"}},
		{"unknown extension", "-config-file=conf.txt", []string{"file conf.txt has unknown extension; must be .hcl or .json, or config format must be set"}},
		{"unknown extension with format", "-config-format=hcl -config-file=conf.txt", []string{"data_dir cannot be empty"}},
		{"unknown format", "-config-format=yaml", []string{"-config-format must be either 'hcl' or 'json'"}},
		{"missing file", "-config-file=nothere.json", []string{"config: Open failed on nothere.json. open nothere.json: no such file or directory"}},
		{"missing directory", "-config-dir=nothere", []string{"config: Open failed on nothere. open nothere: no such file or directory"}},
		{"no data directory", "-bind=127.0.0.1", []string{"data_dir cannot be empty"}},
		{"data directory is a file", "-data-dir=file", []string{`flag -data-dir: data_dir "file" is not a directory`}},
		{"unknown flag", "-nonsense", []string{"flag provided but not defined: -nonsense"}},
		{"flag value", "-http-port=x", []string{`invalid value "x" for flag -http-port: not a whole number`}},
		{"extra", "-data-dir=x extra", []string{"Unexpected extra arguments: [extra]"}},
		{"bind", "-data-dir=x -bind=999.1.1.1", []string{`flag -bind: bind_addr: "999.1.1.1" is not an IP address; this machine has lo 127.0.0.1`, "eth0 10.0.0.5"}},
		{"bind of no interface", "-data-dir=x -bind=10.9.9.9", []string{"no network interface of this machine has the address 10.9.9.9; it has lo 127.0.0.1, lo ::1, eth0 10.0.0.5"}},
		{"advertise", "-data-dir=x -bind=127.0.0.1 -advertise=0.0.0.0", []string{"Advertise address cannot be 0.0.0.0, :: or [::]"}},
		{"bootstrap without server", "-data-dir=x -bootstrap", []string{"'bootstrap = true' requires 'server = true'"}},
		{"expect without server", "-data-dir=x -bootstrap-expect=3", []string{"'bootstrap_expect > 0' requires 'server = true'"}},
		{"expect and bootstrap", "-data-dir=x -server -bootstrap -bootstrap-expect=3", []string{"'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive"}},
		{"expect in dev", "-dev -bootstrap-expect=3", []string{"'bootstrap_expect > 0' not allowed in dev mode"}},
		{"datacenter", "-data-dir=x -datacenter=bad!name", []string{`datacenter can only contain lowercase alphanumeric, - or _ characters. received: "bad!name"`}},
		{"encrypt", "-data-dir=x -encrypt=short", []string{"encrypt has invalid key: illegal base64 data at input byte 4"}},
		{"encrypt length", "-data-dir=x -encrypt=AAAA", []string{"encrypt has invalid key: it has 3 bytes"}},
		{"log level", "-data-dir=x -log-level=shout", []string{"Invalid log level: shout. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]"}},
		{"node id", "-data-dir=x -node-id=zzz", []string{"failed to setup node ID: specified NodeID is invalid: uuid string is wrong length"}},
		{"duration", "-data-dir=x -retry-interval=zz", []string{`flag -retry-interval: retry_interval: invalid duration: "zz": time: invalid duration "zz"`}},
		{"raft protocol", "-data-dir=x -raft-protocol=99", []string{"raft_protocol version 99 is not supported by this version of Consul"}},
		{"acl policy", "-config-file=acl.json", []string{`acl.json:1:39: acl.default_policy cannot be "maybe": use allow or deny`}},
		{"check without interval", "-config-file=svc.json", []string{`svc.json:1:47: service "x": check "": Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks`}},
		{"same address twice", "-config-file=dup.json", []string{"HTTP address 127.0.0.1:28999 already configured for DNS"}},
		{"unspecified clashes", "-data-dir=x -client=0.0.0.0 -bind=127.0.0.1 -server -http-port=8300", []string{"Server address 127.0.0.1:8300 already configured for HTTP"}},
		{"port", "-data-dir=x -http-port=65536 -dns-port=-2", []string{"2 errors occurred:", "flag -http-port: ports.http: 65536 is not a port number", "ports.dns: -2 is not"}},
		{"multiplier", `-data-dir=x -hcl performance{raft_multiplier=11}`, []string{"flags-0.hcl:1:13: performance.raft_multiplier cannot be 11. Must be between 1 and 10"}},
		{"many at once", "-datacenter=A! -log-level=x -server -bootstrap-expect=-1", []string{"4 errors occurred:", "data_dir cannot be empty", "datacenter can only", "Invalid log level", "bootstrap_expect cannot be -1"}},
		{"node meta", "-data-dir=x -node-meta=consul-x:1 -node-meta=a.b:1", []string{`key "consul-x" is reserved`, `key "a.b" contains invalid characters`}},
		{"domain", "-data-dir=x -domain=a..b", []string{`domain: "a..b" is not a DNS name`}},
		{"query time", `-data-dir=x -default-query-time=20m`, []string{"default_query_time (20m0s) cannot be longer than max_query_time (10m0s)"}},
	}
	write(t, files)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load(strings.Fields(tt.args), testHost())
			if err == nil {
				t.Fatal("no error")
			}
			if !errors.Is(err, fault.Invalid) {
				t.Errorf("kind %q", fault.Of(err))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q\nlacks %q", err, want)
				}
			}
		})
	}
}

// TestReload resolves one input twice, with another file and then a broken one.
func TestReload(t *testing.T) {
	write(t, map[string]string{"a.hcl": "data_dir = \"x\" start_join = [\"a\"]"})
	in := &Input{}
	if err := in.FlagSet().Parse([]string{"-config-file=a.hcl", "-join=b", "-node-meta=k:v"}); err != nil {
		t.Fatal(err)
	}
	first, _, err := Resolve(in, testHost())
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Resolve(in, testHost())
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("the same files give %+v, %v, first %+v", again, err, first)
	}
	if err := os.WriteFile("a.hcl", []byte("data_dir = \"x\" log_level = \"WARN\""), 0o600); err != nil {
		t.Fatal(err)
	}
	changed, _, err := Resolve(in, testHost())
	if err != nil {
		t.Fatal(err)
	}
	if keys, restart := Diff(first, changed); strings.Join(keys, " ") != "log_level retry_join" || strings.Join(restart, " ") != "retry_join" {
		t.Errorf("changed %v, restart %v", keys, restart)
	}
	if err := os.WriteFile("a.hcl", []byte("data_dir = "), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Resolve(in, testHost()); err == nil || !strings.Contains(err.Error(), "a.hcl:1:12: unexpected end of file where a value should stand") {
		t.Errorf("broken file: %v", err)
	}
}

func TestValidate(t *testing.T) {
	none := testHost()
	none.Interfaces = func() ([]Interface, error) { return nil, nil }
	write(t, map[string]string{
		"good.json":   `{"server":true,"data_dir":"x","bootstrap":true}`,
		"good.hcl":    "server = true\ndata_dir = \"x\"\nports { http = 8501 }",
		"far.hcl":     "data_dir = \"x\"\nbind_addr = \"10.9.9.9\"",
		"dir1/a.json": `{"data_dir":"x"}`, "dir1/b.hcl": "server = false",
		"script.hcl": "data_dir = \"x\"\ncheck { name = \"c\" args = [\"true\"] interval = \"10s\" }",
	})
	for _, tt := range []struct {
		path, warning string
	}{
		{"good.json", "bootstrap = true: do not enable unless necessary"},
		{"good.hcl", "No private IPv4 address found to advertise"},
		{"far.hcl", "far.hcl:2:1: bind_addr: no network interface of this machine has the address 10.9.9.9"},
		{"dir1", ""},
		{"script.hcl", `script.hcl:2:7: check "c": scripts are disabled on this agent`},
	} {
		warnings, err := Validate([]string{tt.path}, "", none)
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
		}
		if !strings.Contains(strings.Join(warnings, "\n"), tt.warning) {
			t.Errorf("%s: warnings %q lack %q", tt.path, warnings, tt.warning)
		}
	}
}

// TestTLSAndGossip: a part of tls takes what it does not say from the defaults.
func TestTLSAndGossip(t *testing.T) {
	s, _ := mustLoad(t, "-data-dir=d", "-hcl", `tls {
  defaults { ca_file = "ca.pem" cert_file = "c.pem" key_file = "k.pem" verify_incoming = true verify_outgoing = true tls_min_version = "TLSv1_3" }
  internal_rpc { cert_file = "rpc.pem" verify_server_hostname = true }
  https { verify_incoming = false tls_cipher_suites = "A, B" }
} ports { https = 8501 } gossip_lan { probe_interval = "2s" } serf_lan_allowed_cidrs = ["10.0.0.0/8"] encrypt = "`+strings.Repeat("A", 43)+`="`)
	rpc := TLSPart{CAFile: "ca.pem", CertFile: "rpc.pem", KeyFile: "k.pem", MinVersion: "TLSv1_3", VerifyIncoming: true, VerifyOutgoing: true, VerifyServerHostname: true}
	https := TLSPart{CAFile: "ca.pem", CertFile: "c.pem", KeyFile: "k.pem", MinVersion: "TLSv1_3", CipherSuites: []string{"A", "B"}, VerifyOutgoing: true}
	if !reflect.DeepEqual(s.TLS.InternalRPC, rpc) || !reflect.DeepEqual(s.TLS.HTTPS, https) {
		t.Errorf("tls %+v", s.TLS)
	}
	if len(s.Addresses.HTTPS) != 1 || s.Addresses.HTTPS[0].String() != "127.0.0.1:8501" {
		t.Errorf("https %v", s.Addresses.HTTPS)
	}
	if s.Gossip.LAN.ProbeInterval != 2*time.Second || len(s.Gossip.AllowedCIDRs) != 1 || s.Gossip.Key == "" {
		t.Errorf("gossip %+v", s.Gossip)
	}
	for text, want := range map[string]string{
		`tls { https { tls_min_version = "1.3" } }`:                 `tls.https.tls_min_version cannot be "1.3": use TLSv1_0`,
		`tls { defaults { verify_server_hostname = true } }`:        "tls.defaults.verify_server_hostname is not known: it belongs into tls.internal_rpc",
		`gossip_lan { probe_interval = "1s" probe_timeout = "2s" }`: "gossip_lan.probe_timeout (2s) must not be longer",
		`reconnect_timeout = "1h"`:                                  "reconnect_timeout must be >= 8h",
		`autopilot { min_quorum = -1 }`:                             "autopilot.min_quorum cannot be -1",
		`gossip_lan { suspicion_mult = -1 }`:                        "gossip_lan.suspicion_mult cannot be negative",
		`serf_lan_allowed_cidrs = ["10.0.0.0"]`:                     "is not a network",
		`encrypt = "AAAA"`:                                          "encrypt has invalid key: it has 3 bytes",
	} {
		if _, _, err := Load([]string{"-data-dir=d", "-hcl", text}, testHost()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
