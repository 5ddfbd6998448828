package checks

import (
	"errors"
	"strings"
	"testing"
	"time"

	"consul.internal/internal/fault"
)

func TestValidate(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name string
		def  Definition
		kind Kind
		err  string
	}{
		{"none", Definition{}, "", "TTL must be > 0 for TTL checks"},
		{"negative ttl", Definition{TTL: -s}, "", "TTL must be > 0 for TTL checks"},
		{"ttl", Definition{TTL: s}, KindTTL, ""},
		{"http", Definition{HTTP: "http://x/", Interval: s}, KindHTTP, ""},
		{"https", Definition{HTTP: "https://x/", Interval: s}, KindHTTP, ""},
		{"no interval", Definition{HTTP: "http://x/"}, KindHTTP, "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"},
		{"ttl and interval", Definition{HTTP: "http://x/", Interval: s, TTL: s}, KindHTTP, "Interval and TTL cannot both be specified"},
		{"two kinds", Definition{HTTP: "http://x/", TCP: "x:1", Interval: s}, KindHTTP, "http and tcp"},
		{"script", Definition{Args: []string{"true"}, Interval: s}, KindScript, ""},
		{"docker", Definition{Args: []string{"true"}, DockerContainerID: "c", Interval: s}, KindDocker, ""},
		{"docker without command", Definition{DockerContainerID: "c", Interval: s}, KindDocker, "needs Args"},
		{"docker path", Definition{Args: []string{"true"}, DockerContainerID: "../c", Interval: s}, KindDocker, "neither an ID nor a name"},
		{"alias", Definition{AliasService: "x"}, KindAlias, ""},
		{"alias of both", Definition{AliasService: "x", AliasNode: "n"}, KindAlias, ""},
		{"alias with interval", Definition{AliasService: "x", Interval: s}, KindAlias, "Interval cannot be set for Alias checks"},
		{"alias with ttl", Definition{AliasService: "x", TTL: s}, KindAlias, "TTL must be not be set for Alias checks"},
		{"udp", Definition{UDP: "x:1", Interval: s}, KindUDP, ""},
		{"grpc", Definition{GRPC: "x:1/svc", Interval: s}, KindGRPC, ""},
		{"h2ping", Definition{H2PING: "x:1", Interval: s}, KindH2PING, ""},
		{"os service", Definition{OSService: "getty@tty1.service", Interval: s}, KindOSService, ""},
		{"os service pattern", Definition{OSService: "get*", Interval: s}, KindOSService, "is not a name of a service"},
		{"os service long", Definition{OSService: strings.Repeat("x", 256), Interval: s}, KindOSService, "is not a name of a service"},
		{"header name", Definition{HTTP: "http://x", Header: map[string][]string{"a b": {"c"}}, Interval: s}, KindHTTP, `"a b" is not the name of an HTTP header`},
		{"header value", Definition{HTTP: "http://x", Header: map[string][]string{"a": {"c\r\nd: e"}}, Interval: s}, KindHTTP, "control characters"},
		{"named port", Definition{TCP: "x:https", Interval: s}, KindTCP, ""},
		{"large port", Definition{TCP: "x:65536", Interval: s}, KindTCP, "between 1 and 65535"},
		{"huge port", Definition{UDP: "x:99999999999999999999", Interval: s}, KindUDP, "between 1 and 65535"},
		{"port zero", Definition{GRPC: "x:0/svc", Interval: s}, KindGRPC, "between 1 and 65535"},
		{"exposed port", Definition{TTL: s, ExposedPort: 70000}, KindTTL, "ExposedPort 70000"},
		{"bad url", Definition{HTTP: "ftp://x", Interval: s}, KindHTTP, "http://127.0.0.1:8080/health"},
		{"bad method", Definition{HTTP: "http://x", Method: "G T", Interval: s}, KindHTTP, `"G T" is not an HTTP method`},
		{"bad tcp", Definition{TCP: "localhost", Interval: s}, KindTCP, `TCP must be HOST:PORT, not "localhost"`},
		{"negative timeout", Definition{TCP: "x:1", Interval: s, Timeout: -s}, KindTCP, "Timeout must not be negative"},
		{"status", Definition{TTL: s, Status: "superb"}, KindTTL, "Bad check status"},
		{"output size", Definition{TTL: s, OutputMaxSize: -1}, KindTTL, "OutputMaxSize must be positive"},
		{"thresholds", Definition{TTL: s, FailuresBeforeWarning: 2, FailuresBeforeCritical: 1}, KindTTL, "FailuresBeforeWarning can't be higher"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if k := tt.def.Kind(); k != tt.kind {
				t.Errorf("kind %q, want %q", k, tt.kind)
			}
			err := tt.def.Validate()
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %v, want one with %q", err, tt.err)
			case tt.err != "" && !errors.Is(err, fault.Invalid):
				t.Errorf("error %v has not the kind invalid", err)
			}
		})
	}
}

func TestCommandsAreKnown(t *testing.T) {
	for _, tt := range []struct {
		def  Definition
		runs bool
	}{
		{Definition{Args: []string{"true"}}, true},
		{Definition{DockerContainerID: "c"}, true},
		{Definition{OSService: "x"}, false},
		{Definition{HTTP: "http://x"}, false},
	} {
		if got := tt.def.RunsCommands(); got != tt.runs {
			t.Errorf("%+v: %v", tt.def, got)
		}
	}
}

func TestTail(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 64, 100, 1000} {
		w := newTail(64)
		in := strings.Repeat("0123456789abcdef", 20)
		for rest := in; rest != ""; {
			k := min(n, len(rest))
			if got, err := w.Write([]byte(rest[:k])); got != k || err != nil {
				t.Fatal(got, err)
			}
			rest = rest[k:]
		}
		s := w.String()
		if len(s) != 64 || !strings.HasPrefix(s, "Captured 64 of 320 bytes\n...\n") || !strings.HasSuffix(in, s[len("Captured 64 of 320 bytes\n...\n"):]) {
			t.Errorf("in pieces of %d: %q", n, s)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("abc\xffdef", 4)
	f.Add(strings.Repeat("ä", 10), 7)
	f.Fuzz(func(t *testing.T, s string, size int) {
		if size < 0 || size > 1<<16 {
			return
		}
		out := Clean(s, size)
		if len(out) > size || !strings.HasPrefix(strings.ToValidUTF8(s, "\uFFFD"), strings.TrimSuffix(out, "\uFFFD")) {
			t.Errorf("Clean(%q, %d) = %q", s, size, out)
		}
		if out != strings.ToValidUTF8(out, "") {
			t.Errorf("Clean(%q, %d) = %q is not UTF-8", s, size, out)
		}
	})
}
