//go:build linux

package rig

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
)

// ErrUnavailable: this machine cannot run the rig.
var ErrUnavailable = errors.New("the fault rig cannot run here")

// Available tells why the rig cannot run here and what to do about it, or nil.
func Available() error {
	missing := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
	}
	if os.Geteuid() != 0 {
		return missing("it makes network namespaces and mounts disks; run it as root")
	}
	for _, tool := range []struct{ name, pkg string }{
		{"mkfs.ext4", "e2fsprogs"}, {"fsfreeze", "util-linux"}, {"unshare", "util-linux"},
		{"mount", "mount"}, {"strace", "strace"},
	} {
		if _, err := exec.LookPath(tool.name); err != nil {
			return missing("no %s; install the package %s", tool.name, tool.pkg)
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return missing("no loop devices: %w", err)
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil || !bytes.Contains(known, []byte("\text4\n")) {
		return missing("the kernel has no ext4 (/proc/filesystems)")
	}
	home, err := openNamespace()
	if err != nil {
		return missing("%w", err)
	}
	ns, tun, err := makeNamespace(home, DefaultConfig().MTU, netip.AddrFrom4([4]byte{10, 255, 255, 254}))
	if err != nil {
		return missing("no network namespace with a TUN device: %w", joinClose(err, home))
	}
	return errors.Join(tun.Close(), closeFD(ns), closeFD(home))
}
