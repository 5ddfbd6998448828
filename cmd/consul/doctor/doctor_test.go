package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"consul.internal/cmd/consul/command"
	"consul.internal/cmd/consul/commandtest"
	"consul.internal/configs"
	"consul.internal/internal/tlsx"
)

// ward is a machine in good health, in which a case plants its fault.
type ward struct {
	t      *testing.T
	m      machine
	dir    string // data directory
	config string // what stands in the configuration beside the basics
	args   []string
	agent  map[string]string // what the agent answers by path; none = it does not run
}

var interfaces = []configs.Interface{
	{Name: "lo", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
	{Name: "eth0", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.5")}},
}

// owned are the addresses of the machine.
func owned(addr string) bool {
	a := netip.MustParseAddrPort(addr).Addr()
	return a.IsUnspecified() || slices.ContainsFunc(interfaces, func(i configs.Interface) bool { return slices.Contains(i.Addrs, a) })
}

func newWard(t *testing.T) *ward {
	w := &ward{t: t, dir: filepath.Join(t.TempDir(), "data")}
	root := t.TempDir()
	w.m = machine{
		host: configs.Host{
			Hostname:   func() (string, error) { return "n1", nil },
			Interfaces: func() ([]configs.Interface, error) { return interfaces, nil },
			Expand:     func(text string) (string, error) { return "", errors.New("no templates here: " + text) },
		},
		listen: func(_, addr string) error {
			if !owned(addr) {
				return syscall.EADDRNOTAVAIL
			}
			return nil
		},
		dial: func(context.Context, string) error { return nil },
		lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.0.0.9")}, nil
		},
		synced: func() (bool, error) { return true, nil },
		files:  func(int) (uint64, error) { return 65536, nil },
		room:   func(string) (room, error) { return room{bytes: 100 << 30, files: 1 << 20}, nil },
		root:   root, now: time.Now,
	}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(root, "etc/resolv.conf"), "nameserver 192.0.2.53\n")
	w.write(filepath.Join(root, "etc/dnsmasq.d/consul"), "server=/consul/127.0.0.1#8600\n")
	return w
}

func (w *ward) write(path, text string) {
	w.t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *ward) etc(path, text string) { w.write(filepath.Join(w.m.root, path), text) }

// basics are a whole configuration without a fault, but for those to join, since
// lists add up; what stands in config wins.
const basics = `
datacenter = "dc1"
node_name = "n1"
server = true
bind_addr = "10.0.0.5"
bootstrap_expect = 3
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
acl { enabled = true default_policy = "deny" }
`

// run has the doctor look at the ward.
func (w *ward) run() (int, []Finding) {
	w.t.Helper()
	first, second := filepath.Join(w.t.TempDir(), "a.hcl"), filepath.Join(w.t.TempDir(), "b.hcl")
	if !strings.Contains(w.config, "retry_join") {
		w.config += "\nretry_join = [\"10.0.0.6\", \"10.0.0.7\"]\n"
	}
	w.write(first, basics)
	w.write(second, w.config)
	w.t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1") // nobody is there
	if w.agent != nil {
		commandtest.Answering(w.t, w.agent)
		w.m.listen = func(string, string) error { return syscall.EADDRINUSE }
	}
	set := command.Set{"doctor": func(a *command.App) *command.Command { return doctorCommand(a, w.m) }}
	args := append([]string{"doctor", "-format=json", "-config-file=" + first, "-config-file=" + second, "-data-dir=" + w.dir}, w.args...)
	code, out, errs := commandtest.Run(w.t, set, args...)
	var found []Finding
	if err := json.Unmarshal([]byte(out), &found); err != nil || errs != "" {
		w.t.Fatalf("exit %d, %v\n%s\n%s", code, err, out, errs)
	}
	return code, found
}

// certificate writes a certificate for a datacenter that ends at a time, and
// returns the tls block.
func (w *ward) certificate(dc string, end time.Time) string {
	w.t.Helper()
	begin := end.Add(-10000 * time.Hour)
	ca, err := tlsx.MintAuthority(tlsx.AuthorityRequest{Domain: "consul", NotBefore: begin, NotAfter: time.Now().Add(10000 * time.Hour)})
	if err != nil {
		w.t.Fatal(err)
	}
	authority, err := tlsx.ReadAuthority(ca)
	if err != nil {
		w.t.Fatal(err)
	}
	pair, err := authority.Mint(tlsx.Request{Role: tlsx.Server, Datacenter: dc, Domain: "consul", NotBefore: begin, NotAfter: end})
	if err != nil {
		w.t.Fatal(err)
	}
	dir := w.t.TempDir()
	for name, text := range map[string][]byte{"ca.pem": ca.Cert, "cert.pem": pair.Cert, "key.pem": pair.Key} {
		w.write(filepath.Join(dir, name), string(text))
	}
	return fmt.Sprintf("tls { internal_rpc { verify_incoming = true verify_server_hostname = true ca_file = %q cert_file = %q key_file = %q } }",
		dir+"/ca.pem", dir+"/cert.pem", dir+"/key.pem")
}

// running has an agent answer: three servers here, one in dc2, all well.
func (w *ward) running() {
	member := func(name, addr, dc string, port, status int) string {
		return fmt.Sprintf(`{"Name":%q,"Addr":%q,"Port":%d,"Status":%d,"Tags":{"role":"consul","dc":%q,"port":"8300"}}`, name, addr, port, status, dc)
	}
	at := func(node string, ms float64) string {
		return fmt.Sprintf(`{"Node":%q,"Coord":{"Vec":[%g,0,0,0,0,0,0,0],"Error":0.1,"Adjustment":0,"Height":0.00001}}`, node, ms/1000)
	}
	w.agent = map[string]string{
		"/v1/agent/self": `{"Config":{"NodeName":"n1","Datacenter":"dc1"}}`,
		"/v1/agent/members": "[" + strings.Join([]string{member("n1", "10.0.0.5", "dc1", 8301, 1), member("n2", "127.0.0.1", "dc1", 8301, 1),
			member("far.dc2", "192.0.2.1", "dc2", 8302, 1)}, ",") + "]",
		"/v1/coordinate/nodes":       "[" + at("n1", 0) + "," + at("n2", 3) + "]",
		"/v1/coordinate/datacenters": `[{"Datacenter":"dc1","AreaID":"wan","Coordinates":[` + at("n1", 0) + `]}]`,
	}
}

func TestHealthy(t *testing.T) {
	for _, runs := range []bool{false, true} {
		t.Run(fmt.Sprintf("running=%v", runs), func(t *testing.T) {
			w := newWard(t)
			w.config = w.certificate("dc1", time.Now().Add(5000*time.Hour))
			if runs {
				w.running()
			}
			code, found := w.run()
			if code != 0 {
				t.Errorf("exit %d", code)
			}
			for _, f := range found {
				if f.Level != OK {
					t.Errorf("%+v", f)
				}
			}
			if len(found) < 10 {
				t.Errorf("only %d things were looked at: %+v", len(found), found)
			}
		})
	}
}

// TestPlantedFaults plants one fault at a time. It must be found, at its level,
// and the cure must be named.
func TestPlantedFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		plant func(*ward)
		check string
		level Level
		text  string
		cure  string
	}{
		"a mistyped key": {func(w *ward) { w.config = `datacentre = "dc1"` }, "configuration", Fault, "datacenter", "consul validate"},
		"a port held by another program": {func(w *ward) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				w.t.Fatal(err)
			}
			w.t.Cleanup(func() { _ = l.Close() })
			at := l.Addr().String()
			w.m.listen = func(network, addr string) error {
				if addr == at {
					return listen(network, addr)
				}
				return nil
			}
			w.config = fmt.Sprintf("ports { http = %d }", l.Addr().(*net.TCPAddr).Port)
		}, "ports", Fault, "held by another program", "ports.http"},
		"a port below 1024": {func(w *ward) {
			w.config = "ports { dns = 53 }"
			w.m.listen = func(_, addr string) error {
				if strings.HasSuffix(addr, ":53") {
					return syscall.EACCES
				}
				return nil
			}
		}, "ports", Fault, "127.0.0.1:53 (DNS) may not be used", "CAP_NET_BIND_SERVICE"},
		"an address of another machine": {func(w *ward) { w.config = `bind_addr = "192.0.2.7"` }, "addresses", Fault, "192.0.2.7", "10.0.0.5"},
		"loopback advertised":           {func(w *ward) { w.config = `bind_addr = "127.0.0.1"` }, "addresses", Fault, "127.0.0.1 is advertised", "advertise_addr"},
		"a clock that nobody keeps":     {func(w *ward) { w.m.synced = func() (bool, error) { return false, nil } }, "clock", Advice, "nothing keeps", "timedatectl set-ntp true"},
		"a clock that differs": {func(w *ward) {
			w.running()
			s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
			}))
			w.t.Cleanup(s.Close)
			w.config = fmt.Sprintf("ports { http = %d }", s.Listener.Addr().(*net.TCPAddr).Port)
		}, "clock", Fault, "n2 differs from this one by -1h", "timedatectl"},
		"few files":         {func(w *ward) { w.m.files = func(int) (uint64, error) { return 256, nil } }, "limits", Fault, "256 files", "LimitNOFILE=65536"},
		"joining itself":    {func(w *ward) { w.config = `retry_join = ["10.0.0.5"]` }, "joining", Fault, "own address only", "name the other servers"},
		"joining one":       {func(w *ward) { w.config = `retry_join = ["10.0.0.6", "10.0.0.6:8301"]` }, "joining", Advice, "one other address", "add a second"},
		"joining nobody":    {func(w *ward) { w.config = `retry_join = ["nowhere.invalid", "10.0.0.6"]`; w.m.lookup = lost }, "joining", Fault, "nowhere.invalid does not resolve", "/etc/hosts"},
		"data for everyone": {func(w *ward) { w.must(os.Chmod(w.dir, 0o777)) }, "data", Fault, "changed by other users (mode 0777)", "chmod 700"},
		"data of root": {func(w *ward) {
			if os.Geteuid() != 0 {
				w.t.Skip("only root can give a file away")
			}
			w.write(w.dir+"/serf/local.snapshot", "x")
			w.must(os.Chown(w.dir, 4711, 4711))
		}, "data", Fault, "belong to another user", "chown -R"},
		"a full disk": {func(w *ward) {
			w.m.room = func(string) (room, error) { return room{bytes: 5 << 20, files: 1 << 20}, nil }
		}, "data", Fault, "5 MiB left", "make room"},
		"no inodes":            {func(w *ward) { w.m.room = func(string) (room, error) { return room{bytes: 5 << 40, files: 3}, nil } }, "data", Fault, "room for 3 files", "df -i"},
		"an empty mark":        {func(w *ward) { w.write(w.dir+"/raft/mark", "") }, "data", Fault, "raft/mark is empty", "consul snapshot restore"},
		"writes cut short":     {func(w *ward) { w.write(w.dir+"/.node-id.tmp-17", "") }, "data", Advice, "1 unfinished files", "-delete"},
		"no data directory":    {func(w *ward) { w.dir += "/a/b" }, "data", Fault, "neither", "install -d"},
		"an old certificate":   {func(w *ward) { w.config = w.certificate("dc1", time.Now().Add(-time.Hour)) }, "certificates", Fault, "expired on", "consul tls cert create"},
		"an aging certificate": {func(w *ward) { w.config = w.certificate("dc1", time.Now().Add(100*time.Hour)) }, "certificates", Advice, "in 4 days", "consul tls cert create"},
		"a foreign certificate": {func(w *ward) { w.config = w.certificate("dc9", time.Now().Add(5000*time.Hour)) },
			"certificates", Fault, "does not carry the name server.dc1.consul", "-server -dc dc1"},
		"a certificate that is gone": {func(w *ward) { w.config = `tls { internal_rpc { ca_file = "/nonexistent/ca.pem" } }` }, "certificates", Fault, "/nonexistent/ca.pem", "consul tls ca create"},
		"dnsmasq led astray":         {func(w *ward) { w.etc("etc/dnsmasq.d/consul", "server=/consul/127.0.0.1#8601\n") }, "dns", Fault, "127.0.0.1#8601", "server=/consul/127.0.0.1#8600"},
		"systemd-resolved not told": {func(w *ward) { w.etc("etc/resolv.conf", "nameserver 127.0.0.53\n") },
			"dns", Advice, "systemd-resolved does not lead consul", "[Resolve]\nDNS=127.0.0.1:8600\nDNSSEC=false\nDomains=~consul\n"},
		"no resolver": {func(w *ward) { w.must(os.RemoveAll(w.m.root + "/etc/dnsmasq.d")) }, "dns", Advice, "dig @127.0.0.1 -p 8600", "server=/consul/127.0.0.1#8600"},
		"a resolver that does not do as told": {func(w *ward) { w.running(); w.m.lookup = lost },
			"dns", Fault, "names are not found", "systemctl restart dnsmasq"},
		"another agent": {func(w *ward) {
			w.running()
			w.agent["/v1/agent/self"] = `{"Config":{"NodeName":"other","Datacenter":"dc1"}}`
		},
			"agent", Fault, "the agent that answers is other in dc1", "-http-addr"},
		"a datacenter out of reach": {func(w *ward) {
			w.running()
			w.m.dial = func(_ context.Context, addr string) error {
				if addr == "192.0.2.1:8300" {
					return errors.New("no route")
				}
				return nil
			}
		}, "wan", Fault, "far.dc2 cannot be reached at 192.0.2.1:8300", "let TCP"},
		"a datacenter that does not get here": {func(w *ward) {
			w.running()
			w.agent["/v1/coordinate/datacenters"] = `[{"Datacenter":"dc2","Coordinates":[]}]`
		},
			"wan", Fault, "dc2 does not reach this server", "10.0.0.5 port 8302"},
		"servers far apart": {func(w *ward) {
			w.running()
			w.agent["/v1/coordinate/nodes"] = strings.Replace(w.agent["/v1/coordinate/nodes"], "0.003", "0.45", 1)
		}, "raft", Fault, "450ms between n1 and n2", "raft_multiplier = 3"},
		"no ACLs":       {func(w *ward) { w.config = `acl { enabled = false }` }, "acl", Advice, "off", "consul acl bootstrap"},
		"no gossip key": {func(w *ward) { w.config = `encrypt = ""` }, "gossip", Advice, "not encrypted", "consul keygen"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			tt.plant(w)
			code, found := w.run()
			if (code == 1) != slices.ContainsFunc(found, func(f Finding) bool { return f.Level == Fault }) {
				t.Errorf("exit %d", code)
			}
			if !slices.ContainsFunc(found, func(f Finding) bool {
				return f.Check == tt.check && f.Level == tt.level && strings.Contains(f.Text, tt.text) && strings.Contains(f.Cure, tt.cure)
			}) {
				t.Errorf("not found among %d:", len(found))
				for _, f := range found {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

func lost(_ context.Context, name string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (w *ward) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestPretty(t *testing.T) {
	w := newWard(t)
	file := filepath.Join(t.TempDir(), "a.hcl")
	w.write(file, basics+"data_dir = \""+w.dir+"\"\n")
	w.m.synced = func() (bool, error) { return false, nil }
	w.must(os.Chmod(w.dir, 0o777))
	t.Setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
	set := command.Set{"doctor": func(a *command.App) *command.Command { return doctorCommand(a, w.m) }}
	code, out, errs := commandtest.Run(t, set, "doctor", "-config-file="+file)
	if code != 1 || errs != "" {
		t.Errorf("exit %d, %q", code, errs)
	}
	for _, want := range []string{
		"ok      ports: 8 are free\n", "advice  joining: retry_join is empty",
		"advice  clock: nothing keeps the clock right",
		"fault   data: " + w.dir + " can be changed by other users (mode 0777)\n        -> chmod 700 " + w.dir + "\n",
		" 1 faults\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	for args, want := range map[string]string{"-format=xml": "-format must be pretty or json.", "extra": "Too many arguments"} {
		if code, _, errs := commandtest.Run(t, set, "doctor", args); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %q", args, code, errs)
		}
	}
}

// TestMachine asks this very machine, whatever it answers.
func TestMachine(t *testing.T) {
	m := systemMachine()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := m.listen("tcp", addr); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
	if err := m.dial(t.Context(), addr); err != nil {
		t.Error(err)
	}
	_ = l.Close()
	if err := m.listen("tcp", addr); err != nil {
		t.Errorf("a port that is free again: %v", err)
	}
	if err := m.dial(t.Context(), addr); err == nil {
		t.Error("nobody listens, but the door opened")
	}
	if err := m.listen("udp", "192.0.2.1:0"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("an address of nobody: %v", err)
	}
	mine, err := m.files(0)
	if theirs, err2 := m.files(os.Getpid()); err != nil || err2 != nil || mine < theirs || theirs == 0 {
		t.Errorf("%d files (%v), by /proc %d (%v)", mine, err, theirs, err2)
	}
	if r, err := m.room(t.TempDir()); err != nil || r.bytes == 0 || r.files == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := m.synced(); err != nil {
		t.Errorf("the kernel's clock: %v", err)
	}
}
