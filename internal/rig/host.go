//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Host is one machine of the rig.
type Host struct {
	rig  *Rig
	name string
	ns   int
	port *port

	mu        sync.Mutex
	addr      netip.Addr
	processes []*Process
	disks     []*Disk
	started   int
}

func (r *Rig) newHost(name string, addr netip.Addr) (*Host, error) {
	ns, tun, err := makeNamespace(r.home, r.cfg.MTU, addr)
	if err != nil {
		return nil, err
	}
	h := &Host{
		rig: r, name: name, ns: ns, addr: addr,
		port: &port{tun: tun, wake: make(chan struct{}, 1), quit: make(chan struct{})},
	}
	if err := r.net.plug(h, addr); err != nil {
		return nil, errors.Join(err, tun.Close(), closeFD(ns))
	}
	r.tasks.Go(func() { r.net.read(h) })
	r.tasks.Go(h.port.run)
	return h, nil
}

// Name is what the host was made as.
func (h *Host) Name() string { return h.name }

// Addr is the host's address.
func (h *Host) Addr() netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addr
}

// At is the host's address with a port, as dialers want it.
func (h *Host) At(port int) string {
	return netip.AddrPortFrom(h.Addr(), uint16(port)).String()
}

// Readdress gives the host another address, as a machine that comes back has
// one. Connections over the old one die slowly.
func (h *Host) Readdress(ip string) error {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return err
	}
	if err := h.rig.net.plug(h, addr); err != nil {
		return err
	}
	h.mu.Lock()
	h.addr = addr
	h.mu.Unlock()
	if err := h.rig.writeNames(); err != nil {
		return err
	}
	return h.Do(func() error {
		return ifreq(device, func(fd int, ifr *unix.Ifreq) error { return address(fd, ifr, addr) })
	})
}

// Also gives the host a second address, for which there is no name. Readdress
// takes it away.
func (h *Host) Also(ip string) error {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return err
	}
	if err := h.rig.net.also(h, addr); err != nil {
		return err
	}
	return h.Do(func() error {
		return ifreq(device+":1", func(fd int, ifr *unix.Ifreq) error { return address(fd, ifr, addr) })
	})
}

// Do runs f on a thread that is in the host's network. What f itself opens is
// on the host; goroutines that it starts are not there.
func (h *Host) Do(f func() error) error {
	return onThread(h.rig.home, func() error {
		if err := unix.Setns(h.ns, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("rig: enter the network of %s: %w", h.name, err)
		}
		return nil
	}, f)
}

// DialContext dials from the host. The address must be an IP address: a name
// would be resolved by goroutines that are not on the host.
func (h *Host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("rig: dial from %s: %w", h.name, err)
	}
	var c net.Conn
	err := h.Do(func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// Listen takes connections on the host.
func (h *Host) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	var l net.Listener
	err := h.Do(func() (err error) {
		var cfg net.ListenConfig
		l, err = cfg.Listen(ctx, network, addr)
		return err
	})
	return l, err
}

// ListenPacket exchanges packets on the host.
func (h *Host) ListenPacket(ctx context.Context, network, addr string) (net.PacketConn, error) {
	var c net.PacketConn
	err := h.Do(func() (err error) {
		var cfg net.ListenConfig
		c, err = cfg.ListenPacket(ctx, network, addr)
		return err
	})
	return c, err
}

// HTTPClient asks from the host. Close its idle connections when done.
func (h *Host) HTTPClient(limit time.Duration) *http.Client {
	return &http.Client{Timeout: limit, Transport: &http.Transport{DialContext: h.DialContext}}
}

// Run runs a command on the host to its end and returns what it wrote.
func (h *Host) Run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	h.rig.adopt(cmd)
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := h.Do(cmd.Start); err != nil {
		return nil, err
	}
	err := cmd.Wait()
	return out.text, err
}

// maxOutput of a command is kept, bytes.
const maxOutput = 1 << 20

type output struct{ text []byte }

func (o *output) Write(b []byte) (int, error) {
	o.text = append(o.text, b[:min(len(b), maxOutput-len(o.text))]...)
	return len(b), nil
}

// Processes are all that were started on the host, the dead too.
func (h *Host) Processes() []*Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*Process(nil), h.processes...)
}

// PowerCut takes the power from this host and gives it back.
func (h *Host) PowerCut() error { return h.rig.PowerCut(h) }

func (h *Host) freezeProcesses() error {
	var errs []error
	for _, p := range h.Processes() {
		errs = append(errs, p.Stop())
	}
	return errors.Join(errs...)
}

func (h *Host) killAll() error {
	var errs []error
	for _, p := range h.Processes() {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}

func (h *Host) close() error {
	var errs []error
	h.mu.Lock()
	disks := h.disks
	h.mu.Unlock()
	for _, d := range disks {
		errs = append(errs, d.Thaw()) // who waits for the disk cannot be killed
	}
	errs = append(errs, h.killAll())
	for _, d := range disks {
		errs = append(errs, d.unmount())
	}
	close(h.port.quit)
	return errors.Join(append(errs, h.port.tun.Close(), closeFD(h.ns))...)
}
