package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
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
	for name := range commands() {
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
