package packaging

import (
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// bootTime bounds what happens in the booted root.
const bootTime = 10 * time.Minute

// probe runs inside the booted root and writes down each step that went well.
//
//go:embed testdata/probe.sh
var probe []byte

const probeUnit = `[Unit]
Description=Probe of the package
After=basic.target
[Service]
Type=exec
ExecStart=/bin/bash /probe.sh
`

// TestBooted boots a root with its own systemd and has the package installed,
// started, reloaded, upgraded and removed there.
func TestBooted(t *testing.T) {
	if *bootDir == "" || *older == "" || *newer == "" {
		t.Skip("make test-packages runs this")
	}
	if _, err := exec.LookPath("systemd-nspawn"); err != nil {
		t.Skip("NOT TESTED under a booted systemd: there is no systemd-nspawn (Debian: systemd-container)")
	}
	wants := filepath.Join(*bootDir, "etc/systemd/system/multi-user.target.wants")
	err := os.MkdirAll(wants, 0o755)
	for path, data := range map[string][]byte{"probe.sh": probe, "etc/systemd/system/probe.service": []byte(probeUnit)} {
		if err == nil {
			err = os.WriteFile(filepath.Join(*bootDir, path), data, 0o644)
		}
	}
	for from, to := range map[string]string{*older: "older.deb", *newer: "newer.deb"} {
		if err == nil {
			err = copyFile(from, filepath.Join(*bootDir, to))
		}
	}
	if err == nil {
		err = os.Symlink("/etc/systemd/system/probe.service", filepath.Join(wants, "probe.service"))
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	out, runErr := exec.CommandContext(ctx, "systemd-nspawn", "--quiet", "--private-network", "--register=no", "--keep-unit", "-D", *bootDir, "--boot").CombinedOutput()
	steps, err := os.ReadFile(filepath.Join(*bootDir, "probe-steps"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("NOT TESTED under a booted systemd, which does not get up here: %v\n%s", runErr, out)
	}
	want := []string{"booted", "installed", "started", "user", "answers", "reloaded", "upgraded", "answers again", "removed", "purged"}
	if got := strings.Split(strings.TrimSpace(string(steps)), "\n"); !slices.Equal(got, want) || err != nil || runErr != nil {
		log, _ := os.ReadFile(filepath.Join(*bootDir, "probe.log"))
		t.Errorf("steps %q, %v, %v\n%s", got, err, runErr, log)
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
