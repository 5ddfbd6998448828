package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"consul.internal/configs"
)

// dialTimeout bounds one attempt to reach a port.
const dialTimeout = 3 * time.Second

// machine is what is asked of the machine, so that tests can plant faults.
type machine struct {
	host   configs.Host
	listen func(network, addr string) error
	dial   func(ctx context.Context, addr string) error
	lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	synced func() (bool, error)            // whether something keeps the clock right
	files  func(pid int) (uint64, error)   // how many files a process may open; 0 = this one
	room   func(path string) (room, error) // what is left for a directory
	root   string                          // where the machine's own /etc and /run are
	now    func() time.Time
}

// room is what a file system has left.
type room struct{ bytes, files uint64 }

func systemMachine() machine {
	return machine{
		host: configs.SystemHost(), listen: listen, dial: dial,
		lookup: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		},
		synced: synced, files: openFiles, room: roomAt, root: "/", now: time.Now,
	}
}

// listen opens a door and shuts it again.
func listen(network, addr string) error {
	if network == "udp" {
		c, err := net.ListenPacket(network, addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	return l.Close()
}

func dial(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// synced asks the kernel, which is told by whatever keeps the clock.
func synced() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, err
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, nil
}

func openFiles(pid int) (uint64, error) {
	if pid == 0 {
		var r unix.Rlimit
		err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
		return r.Max, err // Go raises the soft limit to the hard one
	}
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "limits"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "Max open files"); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				return strconv.ParseUint(fields[0], 10, 64)
			}
		}
	}
	return 0, errors.New("the limits of the process tell no number of files")
}

func roomAt(path string) (room, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return room{}, fmt.Errorf("statfs %s: %w", path, err)
	}
	r := room{bytes: s.Bavail * uint64(s.Bsize), files: s.Ffree}
	if s.Files == 0 {
		r.files = ^uint64(0) // btrfs and others have no such limit
	}
	return r, nil
}

// etc is a file of this machine.
func (m machine) etc(path string) string { return filepath.Join(m.root, path) }

// reachable is where a door can be knocked at from this machine.
func reachable(a netip.AddrPort) netip.AddrPort {
	switch {
	case !a.Addr().IsUnspecified():
		return a
	case a.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
}
