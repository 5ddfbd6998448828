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
		{"alias", Definition{AliasService: "x"}, KindAlias, ""},
		{"alias of both", Definition{AliasService: "x", AliasNode: "n"}, KindAlias, ""},
		{"alias with interval", Definition{AliasService: "x", Interval: s}, KindAlias, "Interval cannot be set for Alias checks"},
		{"alias with ttl", Definition{AliasService: "x", TTL: s}, KindAlias, "TTL must be not be set for Alias checks"},
		{"udp", Definition{UDP: "x:1", Interval: s}, KindUDP, ""},
		{"grpc", Definition{GRPC: "x:1/svc", Interval: s}, KindGRPC, ""},
		{"h2ping", Definition{H2PING: "x:1", Interval: s}, KindH2PING, ""},
		{"os service", Definition{OSService: "x", Interval: s}, KindOSService, ""},
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

func TestUnsupportedKindIsNamed(t *testing.T) {
	r := newTestRunner(t, newRecord(), nil)
	err := r.Add("x", &Definition{OSService: "x", Interval: time.Second}, 0)
	if err == nil || !strings.Contains(err.Error(), `check kind "os_service" is not supported by this version`) {
		t.Errorf("error %v", err)
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
