package dns

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestForwarder: resolvers that hand the domain on to the agent give its answers, the
// negative ones too, and new ones when they change.
func TestForwarder(t *testing.T) {
	root(t)
	needs(t, "dig")
	a := newAgent(t, loopback(), "")
	tests := []struct {
		program string
		start   func(t *testing.T, dir, own, port string)
	}{
		{"dnsmasq", func(t *testing.T, dir, own, port string) {
			start(t, "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-queries", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
				"--user=", "--pid-file=", "--bind-interfaces", "--listen-address="+own, "--port="+port, "--server=/consul/"+a.addr)
		}},
		{"unbound", func(t *testing.T, dir, own, port string) {
			conf := filepath.Join(dir, "unbound.conf")
			write(t, conf, fmt.Appendf(nil, `
server:
  interface: %[1]s@%[4]s
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  domain-insecure: "consul."
  module-config: "iterator"
  chroot: ""
  username: ""
  directory: %[2]q
  pidfile: ""
  use-syslog: no
  logfile: ""
  do-daemonize: no
remote-control:
  control-enable: no
forward-zone:
  name: "consul."
  forward-addr: %[3]s@53
`, own, dir, a.addr, port))
			start(t, "unbound", "-d", "-p", "-c", conf)
		}},
		{"named", func(t *testing.T, dir, own, port string) {
			conf := filepath.Join(dir, "named.conf")
			write(t, conf, fmt.Appendf(nil, `
options {
  directory %[1]q;
  pid-file "%[1]s/named.pid";
  session-keyfile "%[1]s/session.key";
  listen-on port %[4]s { %[2]s; };
  listen-on-v6 { none; };
  recursion yes;
  allow-query { any; };
  dnssec-validation no;
  empty-zones-enable no;
};
controls { };
zone "consul" { type forward; forward only; forwarders { %[3]s port 53; }; };
`, dir, own, a.addr, port))
			start(t, "named", "-g", "-c", conf)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.program, func(t *testing.T) {
			needs(t, tt.program)
			dir, err := os.MkdirTemp("", "forwarder")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			name := "by-" + tt.program
			a.register(name, "10.1.1.2")
			own, port := place(t, tt.program)
			tt.start(t, dir, own, port)
			ask := func(args ...string) func() string {
				return func() string { return dig(t, append([]string{"@" + own, "-p", port}, args...)...) }
			}
			poll(t, "a service", ask(name+".service.consul", "A"), "10.1.1.2")
			poll(t, "its SRV record", ask(name+".service.consul", "SRV"), "1 1 8080 0a010102.addr.dc1.consul.")
			poll(t, "over TCP", ask("+tcp", name+".service.consul", "A"), "10.1.1.2")
			poll(t, "what does not exist", ask("nothing.service.consul", "A"), "NXDOMAIN")
			poll(t, "no such record", ask("service.consul", "A"), "NOERROR")
			poll(t, "a node", ask("n1.node.dc1.consul", "A"), a.addr)
			a.fail(name)
			poll(t, "a service whose check is critical", ask(name+".service.consul", "A"), "NXDOMAIN")
			a.put("/v1/agent/check/pass/"+name, "")
			poll(t, "a service that passes again", ask(name+".service.consul", "A"), "10.1.1.2")
		})
	}
}
