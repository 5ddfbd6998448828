// Package systemd tests the unit files and what make install does with them.
package systemd

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// maxExposure is what the project promises of its unit, of 10.
const maxExposure = 2.0

// install runs a make target into dest and returns its output.
func install(t *testing.T, target, dest string) string {
	t.Helper()
	cmd := exec.Command("make", "-C", "..", target, "DESTDIR="+dest, "BUILD="+filepath.Join(filepath.Dir(dest), "build"), "TRIMPATH=")
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make %s: %v\n%s", target, err, out)
	}
	return string(out)
}

// tree lists files with modes and content below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(raw)
			text += " " + hex.EncodeToString(sum[:])
		}
		rel, err := filepath.Rel(dir, path)
		out["/"+rel] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestInstall(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Fatal("make is needed by the project itself: ", err)
	}
	dest := filepath.Join(t.TempDir(), "root")
	install(t, "install", dest)
	first := tree(t, dest)
	for path, mode := range map[string]string{
		"/usr/bin/consul":                         "-rwxr-xr-x",
		"/usr/lib/systemd/system/consul.service":  "-rw-r--r--",
		"/usr/lib/systemd/system/consul@.service": "-rw-r--r--",
		"/usr/lib/sysusers.d/consul.conf":         "-rw-r--r--",
		"/usr/lib/tmpfiles.d/consul.conf":         "-rw-r--r--",
		"/usr/share/consul/samples/services.hcl":  "-rw-r--r--",
		"/etc/consul.d":                           "drwxr-x---",
		"/etc/consul.d/agent.hcl":                 "-rw-r-----",
	} {
		if got, _, _ := strings.Cut(first[path], " "); got != mode {
			t.Errorf("%s has mode %q, want %q", path, got, mode)
		}
	}
	if out, err := exec.Command(filepath.Join(dest, "usr/bin/consul"), "validate", filepath.Join(dest, "etc/consul.d")).CombinedOutput(); err != nil {
		t.Errorf("the installed configuration is not valid: %v\n%s", err, out)
	}

	t.Run("twice", func(t *testing.T) {
		install(t, "install", dest)
		second := tree(t, dest)
		for path := range first {
			if first[path] != second[path] {
				t.Errorf("%s was %q, is %q", path, first[path], second[path])
			}
		}
		if len(second) != len(first) {
			t.Errorf("%d files after the second installation, %d after the first", len(second), len(first))
		}
	})
	t.Run("keeps a changed configuration", func(t *testing.T) {
		config := filepath.Join(dest, "etc/consul.d/agent.hcl")
		if err := os.WriteFile(config, []byte("server = false\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := install(t, "install", dest)
		raw, err := os.ReadFile(config)
		if err != nil || string(raw) != "server = false\n" {
			t.Errorf("the configuration is now %q, %v", raw, err)
		}
		if _, err := os.Stat(config + ".new"); err != nil || !strings.Contains(out, "agent.hcl.new") {
			t.Errorf("no word of the new version: %v\n%s", err, out)
		}
	})
	t.Run("verify", func(t *testing.T) { verifyUnits(t, dest) })
	t.Run("uninstall", func(t *testing.T) {
		data := filepath.Join(dest, "var/lib/consul/raft")
		if err := os.MkdirAll(filepath.Dir(data), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(data, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		install(t, "uninstall", dest)
		left := tree(t, dest)
		for path := range left {
			if strings.HasPrefix(path, "/usr/") && !strings.HasPrefix(left[path], "d") {
				t.Errorf("%s was left", path)
			}
		}
		for _, path := range []string{"/var/lib/consul/raft", "/etc/consul.d/agent.hcl"} {
			if left[path] == "" {
				t.Errorf("%s was removed", path)
			}
		}
		install(t, "uninstall", dest) // nothing to do is no error
	})
}

// verifyUnits lets systemd judge the installed units, their binary being where
// it was installed.
func verifyUnits(t *testing.T, dest string) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed: the units are not verified")
	}
	for unit, name := range map[string]string{"consul.service": "consul.service", "consul@.service": "consul@one.service"} {
		raw, err := os.ReadFile(filepath.Join(dest, "usr/lib/systemd/system", unit))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		text := strings.ReplaceAll(string(raw), "=/usr/bin/consul", "="+filepath.Join(dest, "usr/bin/consul"))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", unit, err, out)
		}
		m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("%s: no exposure level in\n%s", unit, out)
		}
		level, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil || level > maxExposure {
			t.Errorf("%s: exposure %s, at most %v is promised (%v)", unit, m[1], maxExposure, err)
		}
	}
}

// directives returns the settings of a unit, without comments and names.
func directives(t *testing.T, unit string) []string {
	t.Helper()
	raw, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, line := range strings.Split(string(raw), "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "Description=") {
			out = append(out, strings.ReplaceAll(line, "@%i", ""))
		}
	}
	return out
}

func TestTemplateIsTheSameUnit(t *testing.T) {
	plain, template := directives(t, "consul.service"), directives(t, "consul@.service")
	if a, b := strings.Join(plain, "\n"), strings.Join(template, "\n"); a != b {
		t.Errorf("the template differs in more than its names:\n%s\n\n%s", a, b)
	}
	for _, want := range []string{"Type=notify", "User=consul", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "KillSignal=SIGTERM"} {
		if !strings.Contains(strings.Join(plain, "\n")+"\n", want+"\n") {
			t.Errorf("consul.service lacks %s", want)
		}
	}
}
