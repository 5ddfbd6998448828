//go:build linux

package rig

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// threadNamespace is the network namespace of the calling thread.
	threadNamespace = "/proc/thread-self/ns/net"
	// device is the name of each host's only link.
	device = "rig0"
	// hostBits: 10.0.0.0/8 goes to the switch.
	hostBits = 8
	// queueLen of the device, packets: enough that a burst does not lose any
	// where no rule asks for loss.
	queueLen = 10_000
)

func openNamespace() (int, error) {
	fd, err := unix.Open(threadNamespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("rig: open %s: %w", threadNamespace, err)
	}
	return fd, nil
}

func closeFD(fd int) error {
	if fd < 0 {
		return nil
	}
	return unix.Close(fd)
}

// onThread runs f on a thread of its own that enter has moved, and moves the
// thread back. A thread that cannot be moved back ends.
func onThread(home int, enter, f func() error) error {
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		if err = enter(); err == nil {
			err = f()
		}
		if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
			err = fmt.Errorf("rig: back to the own network namespace: %w", back)
			return
		}
		runtime.UnlockOSThread()
	})
	wg.Wait()
	return err
}

// makeNamespace makes a network namespace with the loopback and a TUN device.
func makeNamespace(home, mtu int, addr netip.Addr) (ns int, tun *os.File, err error) {
	ns = -1
	err = onThread(home, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		return nil
	}, func() error {
		var err error
		if ns, err = openNamespace(); err != nil {
			return err
		}
		if tun, err = openTUN(); err != nil {
			return err
		}
		if err := ifreq("lo", func(fd int, ifr *unix.Ifreq) error { return up(fd, ifr) }); err != nil {
			return err
		}
		return ifreq(device, func(fd int, ifr *unix.Ifreq) error {
			for req, value := range map[uint]uint32{unix.SIOCSIFMTU: uint32(mtu), unix.SIOCSIFTXQLEN: queueLen} {
				ifr.SetUint32(value)
				if err := unix.IoctlIfreq(fd, req, ifr); err != nil {
					return fmt.Errorf("set %s up (%#x): %w", device, req, err)
				}
			}
			return address(fd, ifr, addr)
		})
	})
	if err != nil {
		if tun != nil {
			tun.Close()
		}
		return -1, nil, joinClose(err, ns)
	}
	return ns, tun, nil
}

func joinClose(err error, fd int) error {
	if cerr := closeFD(fd); cerr != nil {
		return fmt.Errorf("%w; %w", err, cerr)
	}
	return err
}

// openTUN makes a TUN device in the calling thread's namespace. Packets are
// routed by their addresses, so there is no ARP that a cut could confuse.
func openTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(device)
	if err != nil {
		return nil, joinClose(err, fd)
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return nil, joinClose(fmt.Errorf("make a TUN device: %w", err), fd)
	}
	return os.NewFile(uintptr(fd), device), nil
}

// ifreq runs f with a socket and a request for one interface.
func ifreq(name string, f func(fd int, ifr *unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	return f(fd, ifr)
}

// address gives the interface its only address, the route to the others with
// it, and turns it on.
func address(fd int, ifr *unix.Ifreq, addr netip.Addr) error {
	if err := ifr.SetInet4Addr(addr.AsSlice()); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, ifr); err != nil {
		return fmt.Errorf("set the address %v: %w", addr, err)
	}
	if err := ifr.SetInet4Addr(net.CIDRMask(hostBits, 32)); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFNETMASK, ifr); err != nil {
		return fmt.Errorf("set the netmask: %w", err)
	}
	return up(fd, ifr)
}

func up(fd int, ifr *unix.Ifreq) error {
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("turn %s on: %w", ifr.Name(), err)
	}
	return nil
}
