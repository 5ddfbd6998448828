package dns

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestClients: the programs that people ask with understand the agent, over every
// transport that they speak.
func TestClients(t *testing.T) {
	root(t)
	needs(t, "dig")
	a := newAgent(t, loopback(), "")
	a.register("web", "10.1.1.2")
	poll(t, "the service", func() string { return a.dig("web.service.consul", "A") }, "10.1.1.2")
	const name = "web.service.consul"
	tests := []struct {
		name string
		argv []string
		want string // regular expression
	}{
		{"dig", []string{"dig", "@ADDR", name, "A"}, `status: NOERROR[\s\S]*\sA\s+10\.1\.1\.2\s[\s\S]*\(UDP\)`},
		{"dig SRV", []string{"dig", "@ADDR", name, "SRV"}, `SRV\s+1 1 8080 0a010102\.addr\.dc1\.consul\.[\s\S]*0a010102\.addr\.dc1\.consul\.\s+0\s+IN\s+A\s+10\.1\.1\.2`},
		{"dig +tcp", []string{"dig", "+tcp", "@ADDR", name, "A"}, `\sA\s+10\.1\.1\.2\s[\s\S]*\(TCP\)`},
		{"dig +tls", []string{"dig", "+tls", "@ADDR", name, "A"}, `\sA\s+10\.1\.1\.2\s[\s\S]*\(TLS\)`},
		{"dig +https", []string{"dig", "+https", "-p", "8501", "@ADDR", name, "A"}, `\sA\s+10\.1\.1\.2\s[\s\S]*\(HTTPS\)`},
		{"dig of nothing", []string{"dig", "@ADDR", "nothing.service.consul", "A"}, `status: NXDOMAIN[\s\S]*SOA\s+ns\.consul\.`},
		{"drill", []string{"drill", "@ADDR", name, "A"}, `rcode: NOERROR[\s\S]*\sA\s+10\.1\.1\.2\s`},
		{"drill -t", []string{"drill", "-t", "@ADDR", name, "SRV"}, `SRV\s+1 1 8080 0a010102\.addr\.dc1\.consul\.`},
		{"kdig", []string{"kdig", "@ADDR", name, "A"}, `status: NOERROR[\s\S]*\sA\s+10\.1\.1\.2\s[\s\S]*\(UDP\)`},
		{"kdig +tcp", []string{"kdig", "+tcp", "@ADDR", name, "A"}, `\sA\s+10\.1\.1\.2\s[\s\S]*\(TCP\)`},
		{"kdig +tls", []string{"kdig", "+tls", "@ADDR", name, "A"}, `TLS session \(TLS1\.3\)[\s\S]*\sA\s+10\.1\.1\.2\s`},
		{"kdig +padding", []string{"kdig", "+tls", "+padding", "@ADDR", name, "A"}, `PADDING: \d+ B[\s\S]*Received 468 B`},
		{"kdig +https", []string{"kdig", "+https", "-p", "8501", "@ADDR", name, "A"}, `HTTP session \(HTTP/2-POST\)[\s\S]*\sA\s+10\.1\.1\.2\s`},
		{"nslookup", []string{"nslookup", name, "ADDR"}, `Name:\s+web\.service\.consul\s+Address: 10\.1\.1\.2`},
		{"nslookup of an address", []string{"nslookup", "10.1.1.2", "ADDR"}, `2\.1\.1\.10\.in-addr\.arpa\s+name = web\.service\.dc1\.consul\.`},
		{"host", []string{"host", name, "ADDR"}, `web\.service\.consul has address 10\.1\.1\.2`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			needs(t, tt.argv[0])
			args := make([]string, len(tt.argv)-1)
			for i, arg := range tt.argv[1:] {
				args[i] = strings.ReplaceAll(arg, "ADDR", a.addr)
			}
			if out := output(t, tt.argv[0], args...); !regexp.MustCompile(tt.want).MatchString(out) {
				t.Errorf("want %s in\n%s", tt.want, out)
			}
		})
	}
	t.Run("getent", func(t *testing.T) {
		needs(t, "getent", "unshare", "mount")
		conf := filepath.Join(t.TempDir(), "resolv.conf")
		write(t, conf, []byte("nameserver "+a.addr+"\noptions timeout:2 attempts:2\nsearch service.consul\n"))
		libc := func(args string) string {
			return output(t, "unshare", "-m", "sh", "-c", "mount --bind "+conf+" /etc/resolv.conf && exec getent "+args)
		}
		for args, want := range map[string]string{
			"hosts " + name:         `^10\.1\.1\.2\s+web\.service\.consul`,
			"ahosts web":            `^10\.1\.1\.2\s+STREAM`, // by way of the search list
			"hosts 10.1.1.2":        `^10\.1\.1\.2\s+web\.service\.dc1\.consul`,
			"hosts nothing." + name: `exit status 2`,
		} {
			if out := libc(args); !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("getent %s: want %s, got %s", args, want, out)
			}
		}
	})
}
