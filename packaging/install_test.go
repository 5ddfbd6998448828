// Package packaging tests the packages where they belong: in a root of their own,
// with a package manager of its own.
package packaging

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	rootDir = flag.String("root", "", "a Debian root that may be changed, made by debootstrap")
	bootDir = flag.String("boot", "", "another one, to be booted")
	older   = flag.String("deb", "", "the package")
	newer   = flag.String("newer", "", "the package with a higher version")
)

const (
	// maxExposure is what the project promises of its unit, of 10.
	maxExposure = 2.0
	// patience bounds the agent's start on a slow machine.
	patience = time.Minute
)

// in runs a command inside the root.
func in(t *testing.T, command ...string) string {
	t.Helper()
	cmd := exec.Command("chroot", append([]string{*rootDir}, command...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// bring copies a package into the root.
func bring(t *testing.T, file string) string {
	t.Helper()
	if err := copyFile(file, filepath.Join(*rootDir, "tmp", filepath.Base(file))); err != nil {
		t.Fatal(err)
	}
	return "/tmp/" + filepath.Base(file)
}

// state is type, mode, owner and group of a file in the root, by name.
func state(t *testing.T, path string) string {
	t.Helper()
	return strings.TrimSpace(in(t, "stat", "-c", "%A %U:%G", path))
}

func has(path string) bool {
	_, err := os.Lstat(filepath.Join(*rootDir, path))
	return err == nil
}

// TestDebian installs, runs, upgrades, removes and purges the package, in that
// order: each part goes on where the one before ended.
func TestDebian(t *testing.T) {
	if *rootDir == "" || *older == "" || *newer == "" {
		t.Skip("make test-packages runs this")
	}
	out := in(t, "dpkg", "-i", bring(t, *older))
	if !strings.Contains(out, "systemctl enable --now consul") {
		t.Errorf("no word of what to do next:\n%s", out)
	}
	for path, want := range map[string]string{
		"/usr/bin/consul":                                  "-rwxr-xr-x root:root",
		"/etc/consul.d":                                    "drwxr-x--- root:consul",
		"/etc/consul.d/agent.hcl":                          "-rw-r----- root:consul",
		"/var/lib/consul":                                  "drwx------ consul:consul",
		"/usr/lib/systemd/system/consul@.service":          "-rw-r--r-- root:root",
		"/usr/share/man/man1/consul-doctor.1.gz":           "-rw-r--r-- root:root",
		"/usr/share/bash-completion/completions/consul":    "-rw-r--r-- root:root",
		"/usr/share/zsh/vendor-completions/_consul":        "-rw-r--r-- root:root",
		"/usr/share/fish/vendor_completions.d/consul.fish": "-rw-r--r-- root:root",
		"/usr/share/consul/samples/services.hcl":           "-rw-r--r-- root:root",
		"/usr/share/consul/monitoring/alerts.yml":          "-rw-r--r-- root:root",
		"/usr/share/consul/monitoring/dashboard.json":      "-rw-r--r-- root:root",
		"/usr/share/doc/consul/copyright":                  "-rw-r--r-- root:root",
		"/usr/share/doc/consul/ARCHITECTURE.md":            "-rw-r--r-- root:root",
		"/usr/share/doc/consul/docs/README.md":             "-rw-r--r-- root:root",
		"/usr/share/doc/consul/docs/reference/commands.md": "-rw-r--r-- root:root",
	} {
		if got := state(t, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if got := in(t, "getent", "passwd", "consul"); !strings.Contains(got, ":/var/lib/consul:/usr/sbin/nologin") {
		t.Errorf("the user is %s", got)
	}
	in(t, "consul", "validate", "/etc/consul.d")
	verify(t)

	t.Log("The service is run by its ExecStart, under the unit's user, capabilities and directories, with a socket for its notices; TestBooted has systemd do it.")
	first := start(t)
	answers(t)
	id := in(t, "cat", "/var/lib/consul/node-id")
	first.stop(t)

	// An upgrade keeps data and what the operator wrote.
	config := filepath.Join(*rootDir, "etc/consul.d/agent.hcl")
	text, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, append(text, "\n# the operator was here\n"...), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	in(t, "dpkg", "-i", bring(t, *newer))
	if text, err := os.ReadFile(config); err != nil || !strings.Contains(string(text), "the operator was here") {
		t.Errorf("the upgrade changed the configuration: %v\n%s", err, text)
	}
	if now := in(t, "cat", "/var/lib/consul/node-id"); now != id {
		t.Errorf("the node was %s and is %s", id, now)
	}
	second := start(t)
	answers(t) // without registering anything again
	second.stop(t)

	in(t, "dpkg", "--remove", "consul")
	if has("/usr/bin/consul") || !has("/etc/consul.d/agent.hcl") {
		t.Error("removal must take the program and leave the configuration")
	}
	if out := in(t, "dpkg", "--purge", "consul"); !strings.Contains(out, "/var/lib/consul") {
		t.Errorf("no word of the data that stay:\n%s", out)
	}
	if has("/etc/consul.d/agent.hcl") {
		t.Error("the package's own configuration survived the purge")
	}
	if now := in(t, "cat", "/var/lib/consul/node-id"); now != id || !has("/var/lib/consul/raft/mark") {
		t.Errorf("the purge touched the data: node ID %s, was %s", now, id)
	}
	if got := state(t, "/var/lib/consul"); got != "drwx------ consul:consul" {
		t.Errorf("the data directory is %s", got)
	}
}

// verify lets the root's own systemd judge the units.
func verify(t *testing.T) {
	t.Helper()
	if out := in(t, "systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/consul.service"); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	out := in(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "/usr/lib/systemd/system/consul.service")
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure level in\n%s", out)
	}
	if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > maxExposure {
		t.Errorf("exposure %s, at most %v is promised (%v)", m[1], maxExposure, err)
	}
	t.Log("exposure ", m[1])
}

// service is the agent, started as the unit starts it.
type service struct {
	cmd    *exec.Cmd
	socket *net.UnixConn
	log    string
}

// start reads the unit and runs its ExecStart until the agent says READY=1.
func start(t *testing.T) *service {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join(*rootDir, "usr/lib/systemd/system/consul.service"))
	if err != nil {
		t.Fatal(err)
	}
	get := func(key string) string {
		m := regexp.MustCompile(`(?m)^` + key + `=(.+)$`).FindSubmatch(unit)
		if m == nil {
			t.Fatalf("the unit has no %s", key)
		}
		return string(m[1])
	}
	in(t, "install", "-d", "-m", get("RuntimeDirectoryMode"), "-o", get("User"), "-g", get("Group"), "/run/"+get("RuntimeDirectory"))
	in(t, "install", "-d", "-m", get("LogsDirectoryMode"), "-o", get("User"), "-g", get("Group"), "/var/log/"+get("LogsDirectory"))
	path := filepath.Join(*rootDir, "run/consul-notify")
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	s := &service{log: filepath.Join(t.TempDir(), "log")}
	if s.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	capability := strings.ToLower(strings.TrimPrefix(get("AmbientCapabilities"), "CAP_"))
	args := append([]string{*rootDir, "setpriv", "--reuid", get("User"), "--regid", get("Group"), "--clear-groups", "--no-new-privs",
		"--inh-caps", "-all,+" + capability, "--ambient-caps", "-all,+" + capability, "--bounding-set", "-all,+" + capability}, strings.Fields(get("ExecStart"))...)
	s.cmd = exec.Command("chroot", args...)
	s.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET=/run/consul-notify"}
	file, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s.cmd.Stdout, s.cmd.Stderr = file, file
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.socket.Close() })
	s.until(t, "READY=1")
	return s
}

// until waits for a notice.
func (s *service) until(t *testing.T, want string) {
	t.Helper()
	if err := s.socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		n, err := s.socket.Read(buf)
		if err != nil {
			text, _ := os.ReadFile(s.log)
			t.Fatalf("no notice %s: %v\n%s", want, err, text)
		}
		if strings.Contains(string(buf[:n]), want) {
			return
		}
	}
}

// stop ends the agent as systemd does.
func (s *service) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.until(t, "STOPPING=1")
	if err := s.cmd.Wait(); err != nil {
		text, _ := os.ReadFile(s.log)
		t.Errorf("the agent ended with %v\n%s", err, text)
	}
}

// answers asks by the root's own dig for the node, until the catalog has it.
func answers(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"consul.service.consul", strings.Split(host, ".")[0] + ".node.consul"} {
		var out []byte
		for tick := time.NewTicker(200 * time.Millisecond); ; <-tick.C {
			out, err = exec.CommandContext(ctx, "chroot", *rootDir, "dig", "+short", "+time=2", "+tries=1", "@127.0.0.1", "-p", "8600", name).CombinedOutput()
			if strings.TrimSpace(string(out)) == "127.0.0.1" {
				break
			}
			if ctx.Err() != nil {
				t.Fatal(fmt.Errorf("dig %s: %w\n%s", name, err, out))
			}
		}
	}
}
