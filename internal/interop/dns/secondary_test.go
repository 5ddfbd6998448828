package dns

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const secret = "c2VjcmV0IG9mIHNpeHRlZW4gYnl0ZXM="

// TestSecondary: other name servers take the zone, are told of changes, fetch these
// alone, and answer what the agent answers.
func TestSecondary(t *testing.T) {
	tests := []struct {
		program string
		start   func(t *testing.T, dir, own, port, primary string)
	}{
		{"nsd", func(t *testing.T, dir, own, port, primary string) {
			conf := filepath.Join(dir, "nsd.conf")
			write(t, conf, fmt.Appendf(nil, `
server:
  ip-address: %[1]s@%[5]s
  server-count: 1
  username: ""
  zonesdir: %[3]q
  pidfile: "%[3]s/nsd.pid"
  xfrdfile: "%[3]s/xfrd"
  xfrdir: %[3]q
  zonelistfile: "%[3]s/zonelist"
  database: ""
  verbosity: 2
remote-control:
  control-enable: no
key:
  name: "second"
  algorithm: hmac-sha256
  secret: %[4]q
zone:
  name: consul.
  zonefile: zone
  request-xfr: %[2]s@53 second
  allow-notify: %[2]s second
`, own, primary, dir, secret, port))
			start(t, "nsd", "-d", "-c", conf)
		}},
		{"knotd", func(t *testing.T, dir, own, port, primary string) {
			conf := filepath.Join(dir, "knot.conf")
			write(t, conf, fmt.Appendf(nil, `
server:
  listen: %[1]s@%[5]s
  rundir: %[3]q
database:
  storage: %[3]q
log:
  - target: stderr
    any: info
key:
  - id: second
    algorithm: hmac-sha256
    secret: %[4]s
remote:
  - id: agent
    address: %[2]s@53
    key: second
acl:
  - id: told
    address: %[2]s
    key: second
    action: notify
template:
  - id: default
    storage: %[3]q
zone:
  - domain: consul.
    master: agent
    acl: told
`, own, primary, dir, secret, port))
			start(t, "knotd", "-c", conf)
		}},
		{"named", func(t *testing.T, dir, own, port, primary string) {
			conf := filepath.Join(dir, "named.conf")
			write(t, conf, fmt.Appendf(nil, `
key "second" { algorithm hmac-sha256; secret %[4]q; };
options {
  directory %[3]q;
  pid-file "%[3]s/named.pid";
  session-keyfile "%[3]s/session.key";
  listen-on port %[5]s { %[1]s; };
  listen-on-v6 { none; };
  recursion no;
  dnssec-validation no;
};
controls { };
zone "consul" {
  type secondary;
  file "zone";
  primaries { %[2]s port 53 key "second"; };
  allow-notify { key "second"; };
};
`, own, primary, dir, secret, port))
			start(t, "named", "-g", "-c", conf)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.program, func(t *testing.T) {
			root(t)
			needs(t, tt.program, "dig")
			dir, err := os.MkdirTemp("", "secondary")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			primary := loopback()
			own, port := place(t, tt.program)
			a := newAgent(t, primary, fmt.Sprintf(`
dns_config { transfer {
  notify = [%q]
  key "second" { algorithm = "hmac-sha256" secret = %q }
} }`, own+":"+port, secret))
			a.register("early", "10.1.1.1")
			tt.start(t, dir, own, port, primary)
			ask := func(args ...string) func() string {
				return func() string { return dig(t, append([]string{"@" + own, "-p", port}, args...)...) }
			}
			poll(t, "what was there before", ask("early.service.consul", "A"), "10.1.1.1")

			a.register("web", "10.1.1.2")
			poll(t, "a service registered", ask("web.service.consul", "A"), "10.1.1.2")
			poll(t, "its SRV record", ask("web.service.dc1.consul", "SRV"), "1 1 8080 0a010102.addr.dc1.consul.")
			poll(t, "that one's target", ask("0a010102.addr.dc1.consul", "A"), "10.1.1.2")
			poll(t, "its tag", ask("v1.web.service.consul", "A"), "10.1.1.2")
			poll(t, "its node", ask("n1.node.consul", "A"), primary)
			a.fail("web")
			poll(t, "a service whose check is critical", ask("web.service.consul", "A"), "NXDOMAIN")
			poll(t, "another service", ask("early.service.consul", "A"), "10.1.1.1")
			poll(t, "the serial", ask("consul", "SOA"), a.dig("consul", "SOA"))

			// The refresh of an hour has not brought that.
			if n := a.logged("gave the changes of the zone"); n == 0 {
				t.Error("no transfer was an incremental one")
			}
			if n := a.logged("a zone transfer broke off"); n > 0 {
				t.Errorf("%d transfers broke off", n)
			}
			if got := a.dig("consul", "AXFR"); got != "REFUSED" {
				t.Errorf("a stranger got %s", got)
			}
		})
	}
}
