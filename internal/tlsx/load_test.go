package tlsx_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/tlsx"
)

func TestNewRefuses(t *testing.T) {
	f := newFiles(t)
	ca := f.authority("ca", -time.Hour, time.Hour)
	old := f.authority("old", -2*time.Hour, -time.Hour)
	good := f.cert(ca, "good", tlsx.Request{})
	other := f.cert(ca, "other", tlsx.Request{})
	empty := f.write("empty.pem", nil)
	text := f.write("text.pem", []byte("hello"))
	broken := f.write("broken.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	missing := filepath.Join(f.dir, "missing.pem")
	none := filepath.Join(f.dir, "none")
	if err := os.Mkdir(none, 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		part tlsx.Part
		want []string
	}{
		{"no file of the authority", tlsx.Part{CAFile: missing}, []string{"tls.internal_rpc", missing, "no such file"}},
		{"empty file of the authority", tlsx.Part{CAFile: empty}, []string{empty, "no certificate in PEM"}},
		{"text for an authority", tlsx.Part{CAFile: text}, []string{text, "no certificate in PEM"}},
		{"broken authority", tlsx.Part{CAFile: broken}, []string{broken, "cannot be read"}},
		{"expired authority", tlsx.Part{CAFile: old.file}, []string{old.file, `"old"`, "expired on"}},
		{"no directory", tlsx.Part{CAPath: missing}, []string{"ca_path", missing}},
		{"empty directory", tlsx.Part{CAPath: none}, []string{"ca_path", none, "no certificate"}},
		{"no certificate file", tlsx.Part{CertFile: missing, KeyFile: good.KeyFile}, []string{"cert_file", missing}},
		{"no key file", tlsx.Part{CertFile: good.CertFile, KeyFile: missing}, []string{"key_file", missing}},
		{"certificate alone", tlsx.Part{CertFile: good.CertFile}, []string{good.CertFile, "set key_file"}},
		{"key alone", tlsx.Part{KeyFile: good.KeyFile}, []string{good.KeyFile, "set cert_file"}},
		{"another's key", tlsx.Part{CertFile: good.CertFile, KeyFile: other.KeyFile}, []string{good.CertFile, other.KeyFile, "does not match"}},
		{"key for a certificate", tlsx.Part{CertFile: good.KeyFile, KeyFile: good.KeyFile}, []string{good.KeyFile}},
		{"verify_incoming alone", tlsx.Part{VerifyIncoming: true}, []string{"verify_incoming needs authorities", "ca_file"}},
		{"verify_incoming without certificate", tlsx.Part{CAFile: ca.file, VerifyIncoming: true}, []string{"verify_incoming needs a certificate", "cert_file"}},
		{"verify_outgoing alone", tlsx.Part{VerifyOutgoing: true}, []string{"verify_outgoing needs authorities"}},
		{"verify_server_hostname alone", tlsx.Part{VerifyServerHostname: true}, []string{"verify_server_hostname needs authorities"}},
		{"version", tlsx.Part{MinVersion: "1.2"}, []string{"tls_min_version", `"1.2"`, "TLSv1_2"}},
		{"suite", tlsx.Part{CipherSuites: "TLS_NONE"}, []string{"tls_cipher_suites", "TLS_NONE"}},
		{"suite of TLS 1.3", tlsx.Part{CipherSuites: "TLS_AES_128_GCM_SHA256"}, []string{"TLS_AES_128_GCM_SHA256", "cannot be chosen"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tlsx.New(config(tt.part))
			if !errors.Is(err, fault.Invalid) {
				t.Fatalf("error %v, want an invalid one", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestNewTakes(t *testing.T) {
	f := newFiles(t)
	ca := f.authority("ca", -time.Hour, time.Hour)
	old := f.authority("old", -2*time.Hour, -time.Hour)
	good := f.cert(ca, "good", tlsx.Request{})
	read := func(file string) []byte {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	bundle := f.write("bundle.pem", append(read(old.file), read(ca.file)...))
	dir := filepath.Join(f.dir, "dir")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.write("dir/README", []byte("not a certificate"))
	if err := os.Symlink(ca.file, filepath.Join(dir, "0123abcd.0")); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]tlsx.Part{
		"nothing":                {},
		"all":                    {CAFile: ca.file, CertFile: good.CertFile, KeyFile: good.KeyFile, VerifyIncoming: true, VerifyOutgoing: true, VerifyServerHostname: true, MinVersion: "TLSv1_3"},
		"old and new authority":  {CAFile: bundle, VerifyOutgoing: true},
		"directory":              {CAPath: dir, VerifyOutgoing: true},
		"names with blanks":      {CipherSuites: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,"},
		"older form of versions": {MinVersion: "tls12"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := tlsx.New(config(p))
			if err != nil {
				t.Fatal(err)
			}
			if s.InternalRPC.Outgoing() != p.VerifyOutgoing || s.InternalRPC.VerifyIncoming() != p.VerifyIncoming || s.InternalRPC.Incoming() != (p.CertFile != "") {
				t.Error("the door does not say what was set")
			}
		})
	}
	implied := settings(t, config(tlsx.Part{CAFile: ca.file, VerifyServerHostname: true}))
	if !implied.InternalRPC.Outgoing() {
		t.Error("verify_server_hostname does not imply verify_outgoing")
	}
}

func TestWarnings(t *testing.T) {
	f := newFiles(t)
	now := time.Now()
	ca := f.authority("ca", -9*time.Hour, 9*time.Hour)
	stranger := f.authority("stranger", -time.Hour, time.Hour)
	all := func(p tlsx.Part) tlsx.Part {
		p.VerifyIncoming, p.VerifyServerHostname = true, true
		return p
	}
	foreign := all(f.cert(stranger, "foreign", tlsx.Request{}))
	foreign.CAFile = ca.file
	open := all(f.cert(ca, "open", tlsx.Request{}))
	if err := os.Chmod(open.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	weak := all(f.cert(ca, "weak", tlsx.Request{}))
	weak.CipherSuites, weak.MinVersion = "TLS_RSA_WITH_AES_128_CBC_SHA", "TLSv1_0"
	for _, tt := range []struct {
		name string
		part tlsx.Part
		want []string
	}{
		{"right", all(f.cert(ca, "right", tlsx.Request{})), nil},
		{"none", tlsx.Part{}, nil},
		{"expired", all(f.cert(ca, "expired", tlsx.Request{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})), []string{"expired on"}},
		{"not yet valid", all(f.cert(ca, "early", tlsx.Request{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)})), []string{"not valid before"}},
		{"another authority", foreign, []string{"does not come from an authority"}},
		{"another datacenter", all(f.cert(ca, "dc2", tlsx.Request{Datacenter: "dc2"})), []string{"does not carry the name server.dc1.consul"}},
		{"key for everyone", open, []string{"chmod 600"}},
		{"weak", weak, []string{"TLS_RSA_WITH_AES_128_CBC_SHA", "tls_min_version TLSv1_0"}},
		{"switches off", f.cert(ca, "off", tlsx.Request{}), []string{"verify_incoming is off"}},
		{"names off", tlsx.Part{CAFile: ca.file, VerifyOutgoing: true}, []string{"verify_server_hostname is off"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := settings(t, config(tt.part)).Warnings()
			if len(got) != len(tt.want) {
				t.Fatalf("warnings %q, want %d", got, len(tt.want))
			}
			for i, w := range tt.want {
				if !strings.Contains(got[i], w) || !strings.HasPrefix(got[i], "tls.internal_rpc: ") {
					t.Errorf("warning %q does not say %q", got[i], w)
				}
			}
		})
	}
}
