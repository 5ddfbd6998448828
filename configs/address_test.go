package configs

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func hostWith(addrs ...string) Host {
	h := testHost()
	h.Interfaces = func() ([]Interface, error) {
		out := []Interface{{Name: "lo", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}}
		for i, a := range addrs {
			out = append(out, Interface{Name: "eth" + string(rune('0'+i)), Addrs: []netip.Addr{netip.MustParseAddr(a)}})
		}
		return out, nil
	}
	return h
}

func TestAdvertise(t *testing.T) {
	tests := []struct {
		name, args string
		addrs      []string
		lan, wan   string
		err        string
	}{
		{"the only private one", "", []string{"203.0.113.5", "192.168.1.2"}, "192.168.1.2", "192.168.1.2", ""},
		{"shared address space", "", []string{"100.64.0.1"}, "100.64.0.1", "100.64.0.1", ""},
		{"several private ones", "", []string{"10.0.0.5", "192.168.1.2"}, "", "", "Multiple private IPv4 addresses found. Please configure one with 'bind' and/or 'advertise' (keys bind_addr, advertise_addr): eth0 10.0.0.5, eth1 192.168.1.2"},
		{"none", "", []string{"203.0.113.5"}, "", "", "No private IPv4 address found to advertise. Set bind_addr or advertise_addr to one of this machine's addresses: lo 127.0.0.1, eth0 203.0.113.5"},
		{"several, one chosen", "-advertise=192.168.1.2", []string{"10.0.0.5", "192.168.1.2"}, "192.168.1.2", "192.168.1.2", ""},
		{"bind decides", "-bind=192.168.1.2", []string{"10.0.0.5", "192.168.1.2"}, "192.168.1.2", "192.168.1.2", ""},
		{"wan of its own", "-bind=10.0.0.5 -advertise-wan=203.0.113.9", []string{"10.0.0.5"}, "10.0.0.5", "203.0.113.9", ""},
		{"loopback", "-bind=127.0.3.9", nil, "127.0.3.9", "127.0.3.9", ""},
		{"public IPv6", "-bind=::", []string{"10.0.0.5", "2001:db8::5", "fd00::1"}, "2001:db8::5", "2001:db8::5", ""},
		{"brackets", "-bind=[::]", []string{"2001:db8::5"}, "2001:db8::5", "2001:db8::5", ""},
		{"no public IPv6", "-bind=::", []string{"10.0.0.5"}, "", "", "No public IPv6 address found"},
		{"template", "-bind={{GetPrivateIP}}", []string{"10.0.0.5"}, "", "", "failed"},
		{"family", "-hcl advertise_addr_ipv6=\"10.0.0.5\"", []string{"10.0.0.5"}, "", "", "advertise_addr_ipv6: 10.0.0.5 is of the other address family"},
		{"by family", "-hcl advertise_addr_ipv4=\"10.0.0.5\"", []string{"10.0.0.5", "10.0.0.6"}, "10.0.0.5", "10.0.0.5", ""},
		{"socket", "-bind=unix:///x", nil, "", "", "bind_addr cannot be a unix socket"},
		{"empty", "-bind=", nil, "", "", "bind_addr cannot be empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _, err := Load(append([]string{"-data-dir=x"}, strings.Fields(tt.args)...), hostWith(tt.addrs...))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Addresses.AdvertiseLAN.String(); got != tt.lan {
				t.Errorf("LAN %s, want %s", got, tt.lan)
			}
			if got := s.Addresses.AdvertiseWAN.String(); got != tt.wan {
				t.Errorf("WAN %s, want %s", got, tt.wan)
			}
		})
	}
}

func TestAddressKeys(t *testing.T) {
	s, _ := mustLoad(t, "-data-dir=x", "-bind={{ GetPrivateIP }}", "-client", "{{ Two }}", "-hcl", `
addresses { http = "unix:///run/c.sock 127.0.0.1 ::1" dns = "{{ GetPrivateIP }}" }
serf_wan = "127.0.0.3"
ports { serf_lan = 9301 }
unix_sockets { mode = "0700" }
recursors = ["{{ GetPrivateIP }}", "8.8.8.8:5353"]
`)
	a := s.Addresses
	var all []string
	for _, p := range [][]netip.AddrPort{a.DNS, a.HTTP, {a.SerfLAN, a.SerfWAN}} {
		for _, one := range p {
			all = append(all, one.String())
		}
	}
	if got := strings.Join(all, " "); got != "10.0.0.5:8600 127.0.0.1:8500 [::1]:8500 10.0.0.5:9301 127.0.0.3:8302" {
		t.Errorf("addresses %s", got)
	}
	if len(a.HTTPSockets) != 1 || a.HTTPSockets[0] != "/run/c.sock" || a.SocketMode != "0700" || len(a.Client) != 2 {
		t.Errorf("addresses %+v", a)
	}
	if got := fmt.Sprint(s.DNS.Recursors); got != "[10.0.0.5:53 8.8.8.8:5353]" {
		t.Errorf("recursors %s", got)
	}
	for _, tt := range []struct{ args, want string }{
		{"-client={{ None }}", "client_addr: the template \"{{ None }}\" finds no address on this machine; it has lo 127.0.0.1"},
		{"-client={{ Broken }}", "client_addr: template \"{{ Broken }}\" failed"},
		{"-bind={{ Two }}", "bind_addr: multiple addresses found: 10.0.0.5, 127.0.0.1; choose one"},
		{"-client=example", "client_addr: \"example\" is not an IP address"},
		{"-serf-lan-bind=10.1.1.1", "serf_lan: no network interface of this machine has the address 10.1.1.1"},
	} {
		_, _, err := Load([]string{"-data-dir=x", tt.args}, testHost())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.args, err, tt.want)
		}
	}
}

// TestSystemHost looks at the real machine: the loopback must be found, and a
// template must be expanded.
func TestSystemHost(t *testing.T) {
	h := SystemHost()
	ifaces, err := h.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, i := range ifaces {
		for _, a := range i.Addrs {
			found = found || a.IsLoopback()
		}
	}
	if !found {
		t.Errorf("no loopback among %v", ifaces)
	}
	got, err := h.Expand(`{{ GetAllInterfaces | include "address" "127.0.0.1" | attr "address" }}`)
	if err != nil || got != "127.0.0.1" {
		t.Errorf("template gives %q, %v", got, err)
	}
}
