package checks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"consul.internal/catalog"
)

const (
	// systemdRunDir exists where systemd is the init system, see sd_booted(3).
	systemdRunDir = "/run/systemd/system"
	// maxUnitName is the longest name of a unit, see systemd.unit(5).
	maxUnitName = 255
	// systemctlOutput is enough for three properties and for a sentence about what went wrong.
	systemctlOutput = 1024
)

// ErrNoServiceManager refuses os_service checks where nothing could be asked.
var ErrNoServiceManager = errors.New("not implemented: os_service checks ask systemd, and this machine does not run it")

// Systemd is how os_service checks reach systemd. The zero value is that of this machine.
type Systemd struct {
	RunDir  string // exists where systemd runs; "" = /run/systemd/system
	Command string // "" = systemctl
}

// Present reports whether systemd runs this machine.
func (s Systemd) Present() bool {
	info, err := os.Lstat(orDefault(s.RunDir, systemdRunDir))
	return err == nil && info.IsDir()
}

// Supports returns an error if no Runner here can run the check.
func (s Systemd) Supports(d *Definition) error {
	if d.Kind() == KindOSService && !s.Present() {
		return ErrNoServiceManager
	}
	return nil
}

// validUnit accepts the characters of a unit's name. Patterns, which systemctl
// would take too, are no name.
func validUnit(name string) bool {
	if len(name) > maxUnitName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(":-_.\\@", c) >= 0) {
			return false
		}
	}
	return true
}

// osServiceProbe passes while a service runs and is critical while it does not.
// Anything between, and not being able to tell, is a warning.
func osServiceProbe(d *Definition, s Systemd) probe {
	command := orDefault(s.Command, "systemctl")
	return func(ctx context.Context) (catalog.Status, string) {
		out := newTail(systemctlOutput)
		err := execute(ctx, out, command, "show", "--property=LoadState,ActiveState,SubState", "--", d.OSService)
		switch {
		case ctx.Err() != nil:
			return catalog.Warning, fmt.Sprintf("Service %q: systemd has not answered in time", d.OSService)
		case err != nil:
			return catalog.Warning, fmt.Sprintf("Service %q: its state cannot be told: %v: %s", d.OSService, err, out)
		}
		return unitStatus(d.OSService, out.String())
	}
}

// unitStatus reads the properties that systemctl shows.
func unitStatus(name, shown string) (catalog.Status, string) {
	var load, active, sub string
	for line := range strings.Lines(shown) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "LoadState":
			load = value
		case "ActiveState":
			active = value
		case "SubState":
			sub = value
		}
	}
	text := fmt.Sprintf("Service %q is %s (%s)", name, active, sub)
	switch {
	case active == "":
		return catalog.Warning, fmt.Sprintf("Service %q: its state cannot be told from the answer of systemd: %s", name, shown)
	case load == "not-found" && active == "inactive":
		return catalog.Critical, fmt.Sprintf("Service %q is not known to systemd", name)
	case active == "active", active == "reloading", active == "refreshing":
		return catalog.Passing, text
	case active == "inactive", active == "failed":
		return catalog.Critical, text
	default:
		return catalog.Warning, text
	}
}
