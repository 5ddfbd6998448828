package dns

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestTap: the programs of dnstap take what the agent sends, of every door.
func TestTap(t *testing.T) {
	root(t)
	needs(t, "dig", "fstrm_capture", "dnstap-ldns")
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "tap.sock"), filepath.Join(dir, "dns.tap")
	capture := exec.Command("fstrm_capture", "-t", "protobuf:dnstap.Dnstap", "-u", socket, "-w", file)
	if err := capture.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = capture.Process.Kill(), capture.Wait() }) // it has ended
	poll(t, "the socket", func() string { _, err := os.Stat(socket); return fmt.Sprint(err) }, "<nil>")
	a := newAgent(t, loopback(), fmt.Sprintf(`dns_config { dnstap { socket = %q } version_bind = "x.y" }`, socket))
	a.register("web", "10.1.1.2")
	poll(t, "the service", func() string { return a.dig("web.service.consul", "A") }, "10.1.1.2")
	for _, door := range []string{"+notcp", "+tcp", "+tls"} {
		for range 2 { // by both paths
			if got := a.dig(door, "web.service.consul", "SRV"); got != "1 1 8080 0a010102.addr.dc1.consul." {
				t.Errorf("dig %s: %s", door, got)
			}
		}
	}
	if got := a.dig("version.bind", "CH", "TXT"); got != `"x.y"` {
		t.Errorf("version.bind: %s", got)
	}
	if err := capture.Process.Signal(os.Interrupt); err != nil { // it writes what it has
		t.Fatal(err)
	}
	if err := capture.Wait(); err != nil {
		t.Fatal(err)
	}
	out := output(t, "dnstap-ldns", "-r", file)
	for _, want := range []string{
		`CQ ADDR UDP \d+b "web\.service\.consul\." IN SRV`, `CR ADDR UDP \d+b "web\.service\.consul\." IN SRV`,
		`CQ ADDR TCP \d+b "web\.service\.consul\." IN SRV`, `CR ADDR TCP \d+b "web\.service\.consul\." IN SRV`,
		`CR ADDR \S+ \d+b "version\.bind\." CH TXT`,
	} {
		want = regexp.MustCompile("ADDR").ReplaceAllString(want, `127\.\d+\.\d+\.\d+`)
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}
