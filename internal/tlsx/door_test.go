package tlsx_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/tlsx"
)

func TestNoDoor(t *testing.T) {
	var d *tlsx.Door
	if d.Incoming() || d.Outgoing() || d.VerifyIncoming() {
		t.Error("a nil door has TLS")
	}
	if _, ok := d.Expiry(); ok {
		t.Error("a nil door has a certificate")
	}
}

func TestServerName(t *testing.T) {
	d := settings(t, tlsx.Config{Datacenter: "DC1", Domain: "Example.Org."}).InternalRPC
	for in, want := range map[string]string{"": "server.dc1.example.org", "dc2": "server.dc2.example.org"} {
		if got := d.ServerName(in); got != want {
			t.Errorf("ServerName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOutgoing(t *testing.T) {
	f := newFiles(t)
	now := time.Now()
	ca, wrong := f.authority("ca", -9*time.Hour, 9*time.Hour), f.authority("wrong", -time.Hour, time.Hour)
	right := f.cert(ca, "right", tlsx.Request{})
	for _, tt := range []struct {
		name          string
		server        tlsx.Part
		anyOf, byName string // the error while verify_server_hostname is off, and on; "" = none
	}{
		{"right", right, "", ""},
		{"other authority", f.cert(wrong, "foreign", tlsx.Request{}), "unknown authority", "unknown authority"},
		{"expired", f.cert(ca, "expired", tlsx.Request{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}), "expired", "expired"},
		{"not yet valid", f.cert(ca, "early", tlsx.Request{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}), "not yet valid", "not yet valid"},
		{"a client's", f.cert(ca, "client", tlsx.Request{Role: tlsx.Client}), "", "not server.dc1.consul"},
		{"other datacenter", f.cert(ca, "dc2", tlsx.Request{Datacenter: "dc2"}), "", "not server.dc1.consul"},
		{"a person's", f.cert(ca, "cli", tlsx.Request{Role: tlsx.CLI}), "incompatible key usage", "not server.dc1.consul"},
	} {
		for _, version := range []string{"TLSv1_2", "TLSv1_3"} {
			for _, byName := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", tt.name, version, byName), func(t *testing.T) {
					mine := right
					mine.VerifyOutgoing, mine.VerifyServerHostname, mine.MinVersion = true, byName, version
					server := settings(t, config(tt.server)).InternalRPC
					client := settings(t, config(mine)).InternalRPC
					_, err, _ := shake(t, server.Server(), client.Client(client.ServerName("")))
					want := tt.anyOf
					if byName {
						want = tt.byName
					}
					if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
						t.Errorf("error %v, want %q", err, want)
					}
				})
			}
		}
	}
}

func TestHTTPSVerifiesTheName(t *testing.T) {
	f := newFiles(t)
	ca := f.authority("ca", -time.Hour, time.Hour)
	part := f.cert(ca, "right", tlsx.Request{})
	part.VerifyOutgoing = true
	d := settings(t, tlsx.Config{Datacenter: "dc1", Domain: "consul", HTTPS: part}).HTTPS
	if _, err, _ := shake(t, d.Server(), d.Client("localhost")); err != nil {
		t.Error(err)
	}
	if _, err, _ := shake(t, d.Server(), d.Client("example.org")); err == nil {
		t.Error("a certificate without the name passes")
	}
}

// TestService: towards a service that is no agent the name counts always, and a door
// without authorities trusts the machine's.
func TestService(t *testing.T) {
	f := newFiles(t)
	ca, wrong := f.authority("ca", -9*time.Hour, 9*time.Hour), f.authority("wrong", -time.Hour, time.Hour)
	right := f.cert(ca, "right", tlsx.Request{})
	right.VerifyIncoming = true
	service := settings(t, config(right)).InternalRPC.Server()
	shakeAs := func(p tlsx.Part, name string) error {
		t.Helper()
		c := settings(t, config(p)).InternalRPC.Service()
		c.ServerName = name
		_, err, _ := shake(t, service, c)
		return err
	}
	mine := f.cert(ca, "mine", tlsx.Request{Role: tlsx.Client})
	for _, tt := range []struct {
		name, server string
		part         tlsx.Part
		want         string
	}{
		{"right", "localhost", mine, ""},
		{"another name", "example.org", mine, "not example.org"},
		{"no certificate", "localhost", tlsx.Part{CAFile: ca.file}, "certificate required"},
		{"another authority", "localhost", f.cert(wrong, "foreign", tlsx.Request{}), "unknown authority"},
		{"the machine's authorities", "localhost", tlsx.Part{CertFile: mine.CertFile, KeyFile: mine.KeyFile}, "unknown authority"},
	} {
		if err := shakeAs(tt.part, tt.server); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestIncomingAndRequireServer(t *testing.T) {
	f := newFiles(t)
	now := time.Now()
	ca, wrong := f.authority("ca", -9*time.Hour, 9*time.Hour), f.authority("wrong", -time.Hour, time.Hour)
	right := f.cert(ca, "right", tlsx.Request{})
	for _, tt := range []struct {
		name       string
		client     tlsx.Part
		in, server bool // let in while verify_incoming is on; taken for a server
	}{
		{"none", tlsx.Part{}, false, false},
		{"right", right, true, true},
		{"a client's", f.cert(ca, "client", tlsx.Request{Role: tlsx.Client}), true, false},
		{"a person's", f.cert(ca, "cli", tlsx.Request{Role: tlsx.CLI}), true, false},
		{"other datacenter", f.cert(ca, "dc2", tlsx.Request{Datacenter: "dc2"}), true, false},
		{"other authority", f.cert(wrong, "foreign", tlsx.Request{}), false, false},
		{"expired", f.cert(ca, "expired", tlsx.Request{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}), false, false},
		{"not yet valid", f.cert(ca, "early", tlsx.Request{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}), false, false},
	} {
		for _, verify := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, verify), func(t *testing.T) {
				own, theirs := right, tt.client
				own.VerifyIncoming = verify
				theirs.CAFile, theirs.VerifyOutgoing = ca.file, true
				server, client := settings(t, config(own)).InternalRPC, settings(t, config(theirs)).InternalRPC
				state, _, err := shake(t, server.Server(), client.Client(client.ServerName("")))
				if want := tt.in || !verify; (err == nil) != want {
					t.Fatalf("error %v, want it let in: %v", err, want)
				}
				if err != nil {
					return
				}
				if err := server.RequireServer(state); (err == nil) != tt.server {
					t.Errorf("as a server: %v, want %v", err, tt.server)
				} else if err != nil && !errors.Is(err, fault.Denied) {
					t.Errorf("%v is not a denial", err)
				}
			})
		}
	}
}

func TestReload(t *testing.T) {
	f := newFiles(t)
	first, second := f.authority("first", -time.Hour, time.Hour), f.authority("second", -time.Hour, 2*time.Hour)
	a := f.cert(first, "a", tlsx.Request{})
	b := f.cert(second, "b", tlsx.Request{})
	for _, p := range []*tlsx.Part{&a, &b} {
		p.VerifyIncoming, p.VerifyServerHostname = true, true
	}
	s := settings(t, config(a))
	d := s.InternalRPC
	server, client := d.Server("h2"), d.Client(d.ServerName("")) // made once, used before and after
	if _, err, _ := shake(t, server, client); err != nil {
		t.Fatal(err)
	}
	before, _ := d.Expiry()
	if err := s.Reload(config(b)); err != nil {
		t.Fatal(err)
	}
	state, cerr, serr := shake(t, server, client)
	if cerr != nil || serr != nil {
		t.Fatalf("after Reload: %v, %v", cerr, serr)
	}
	if got := state.PeerCertificates[0].Issuer.CommonName; got != "second" {
		t.Errorf("the certificate comes from %q after Reload", got)
	}
	if after, ok := d.Expiry(); !ok || after.IsZero() || before.IsZero() {
		t.Errorf("expiry %v, %v", after, ok)
	}
	old := settings(t, config(a)).InternalRPC
	if _, err, _ := shake(t, server, old.Client(old.ServerName(""))); err == nil {
		t.Error("a certificate of the former authority is still let in")
	}
	if err := os.WriteFile(b.KeyFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(config(b)); err == nil {
		t.Error("an empty key file was taken")
	}
	if _, err, _ := shake(t, server, client); err != nil {
		t.Errorf("a Reload that failed changed something: %v", err)
	}
	bad := config(b) // the first door's block is good, the last one's is not
	bad.InternalRPC, bad.GRPC = a, tlsx.Part{VerifyIncoming: true}
	if err := s.Reload(bad); err == nil || !strings.Contains(err.Error(), "tls.grpc") {
		t.Errorf("error %v does not name tls.grpc", err)
	}
	if _, err, _ := shake(t, server, old.Client(old.ServerName(""))); err == nil {
		t.Error("half of a Reload was put in place")
	}
}

func TestReloadWhileShaking(t *testing.T) {
	f := newFiles(t)
	ca := f.authority("ca", -time.Hour, time.Hour)
	a, b := f.cert(ca, "a", tlsx.Request{}), f.cert(ca, "b", tlsx.Request{})
	s := settings(t, config(a))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20 {
			if err := s.Reload(config([]tlsx.Part{a, b}[i%2])); err != nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		d := s.InternalRPC
		if _, err, _ := shake(t, d.Server(), d.Client(d.ServerName(""))); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

func TestVersionsAndSuites(t *testing.T) {
	f := newFiles(t)
	ca := f.authority("ca", -time.Hour, time.Hour)
	part := f.cert(ca, "right", tlsx.Request{})
	versions := []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
	for name, lowest := range map[string]uint16{"": tls.VersionTLS12, "TLSv1_0": tls.VersionTLS10, "TLSv1_1": tls.VersionTLS11, "TLSv1_2": tls.VersionTLS12, "TLSv1_3": tls.VersionTLS13} {
		part.MinVersion = name
		d := settings(t, config(part)).InternalRPC
		for _, v := range versions {
			client := d.Client("")
			client.MinVersion, client.MaxVersion = v, v
			if _, err, _ := shake(t, d.Server(), client); (err == nil) != (v >= lowest) {
				t.Errorf("lowest version %q with %s: %v", name, tls.VersionName(v), err)
			}
		}
	}
	part.MinVersion, part.CipherSuites = "", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
	d := settings(t, config(part)).InternalRPC
	client := d.Client("")
	client.CipherSuites, client.MaxVersion = nil, tls.VersionTLS12
	if state, err, _ := shake(t, d.Server(), client); err != nil || state.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
		t.Errorf("suite %s, error %v", tls.CipherSuiteName(state.CipherSuite), err)
	}
}
