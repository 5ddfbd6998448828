//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Rig is a set of hosts and the network between them.
type Rig struct {
	cfg  Config
	log  *zap.Logger
	net  *Net
	home int // this process's own network namespace

	tasks sync.WaitGroup // the switch's readers and senders, and who waits for processes

	names sync.Mutex // held while the file of names is written

	mu    sync.Mutex
	dir   string
	lock  *os.File
	hosts []*Host
	next  netip.Addr
	open  bool
}

// New makes a rig and starts nothing.
func New(cfg Config, log *zap.Logger) (*Rig, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Rig{cfg: cfg, log: log, next: cfg.Base, home: -1, net: newNet(cfg.Seed)}, nil
}

// Open removes what dead rigs left and makes this one's folder.
func (r *Rig) Open(ctx context.Context) error {
	if err := Available(); err != nil {
		return err
	}
	if err := sweep(ctx, r.cfg.Dir, r.log); err != nil {
		return err
	}
	home, err := openNamespace()
	if err != nil {
		return err
	}
	dir, lock, err := claim(r.cfg.Dir)
	if err != nil {
		return errors.Join(err, closeFD(home))
	}
	r.mu.Lock()
	r.home, r.dir, r.lock, r.open = home, dir, lock, true
	r.mu.Unlock()
	if err := r.furnish(); err != nil {
		return errors.Join(err, r.Close())
	}
	return nil
}

// furnish prepares the folder.
func (r *Rig) furnish() error {
	if err := shareMounts(r.dir); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(r.dir, "resolv.conf"), []byte(resolvConf), 0o644), r.writeNames())
}

// shareMounts lets mounts below dir come and go in the processes' own mount
// tables too: a copy that stayed there would keep a disk in use.
func shareMounts(dir string) error {
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("rig: bind %s: %w", dir, err)
	}
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("rig: share the mounts below %s: %w", dir, err)
	}
	return nil
}

// resolvConf is what the processes see as /etc/resolv.conf: whoever asks for an
// unknown name is refused at once, where a real server would not be reached.
const resolvConf = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"

// writeNames writes what the processes see as /etc/hosts: in place, since it is
// mounted elsewhere, and in one piece, since somebody may be reading it.
func (r *Rig) writeNames() error {
	r.names.Lock()
	defer r.names.Unlock()
	f, err := os.OpenFile(filepath.Join(r.dir, "hosts"), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	text := []byte("127.0.0.1 localhost\n::1 localhost\n" + r.net.names())
	if _, err := f.WriteAt(text, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

// Close heals, kills and unmounts everything.
func (r *Rig) Close() error {
	r.mu.Lock()
	if !r.open {
		r.mu.Unlock()
		return nil
	}
	r.open = false
	hosts := r.hosts
	r.mu.Unlock()
	var errs []error
	for _, h := range hosts {
		errs = append(errs, h.close())
	}
	r.tasks.Wait()
	errs = append(errs, closeFD(r.home))
	mounts, err := mountsBelow(r.dir)
	errs = append(errs, err)
	for _, m := range mounts {
		errs = append(errs, unmount(m))
	}
	// Never look for what to remove through a mount that would not go.
	if !r.cfg.Keep && errors.Join(errs...) == nil {
		errs = append(errs, os.RemoveAll(r.dir), os.Remove(r.lock.Name()))
	}
	errs = append(errs, r.lock.Close())
	return errors.Join(errs...)
}

// Dir is the rig's own folder, removed by Close.
func (r *Rig) Dir() string { return r.dir }

// Net is the network between the hosts.
func (r *Rig) Net() *Net { return r.net }

// Host makes a host with the next free address.
func (r *Rig) Host(name string) (*Host, error) {
	r.mu.Lock()
	for r.next = r.next.Next(); r.net.taken(r.next); {
		r.next = r.next.Next()
	}
	addr := r.next
	r.mu.Unlock()
	return r.HostAt(name, addr.String())
}

// HostAt makes a host with an address of 10.0.0.0/8.
func (r *Rig) HostAt(name, ip string) (*Host, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return nil, errors.New("rig: not open")
	}
	if name == "" || name != filepath.Base(name) {
		return nil, fmt.Errorf("rig: host name %q is no file name", name)
	}
	for _, h := range r.hosts {
		if h.name == name {
			return nil, fmt.Errorf("rig: there is a host %q already", name)
		}
	}
	h, err := r.newHost(name, addr)
	if err != nil {
		return nil, fmt.Errorf("rig: host %s: %w", name, err)
	}
	r.hosts = append(r.hosts, h)
	return h, r.writeNames()
}

// Hosts are all that were made, in that order.
func (r *Rig) Hosts() []*Host {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Host(nil), r.hosts...)
}

// PowerCut takes the power from all hosts at once and gives it back: processes
// are gone, and what was not synced to a disk with them. Disks are mounted
// again; nothing is started.
func (r *Rig) PowerCut(hosts ...*Host) error {
	var errs []error
	for _, h := range hosts {
		errs = append(errs, h.freezeProcesses())
	}
	for _, h := range hosts {
		errs = append(errs, h.shutdownDisks())
	}
	for _, h := range hosts {
		errs = append(errs, h.killAll())
	}
	for _, h := range hosts {
		errs = append(errs, h.remountDisks())
	}
	return errors.Join(errs...)
}
