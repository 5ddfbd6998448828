//go:build linux

package rig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Requests that x/sys/unix does not name (linux/fs.h, fs/ext4/ext4.h).
const (
	ioctlFreeze   = 0xc0045877 // FIFREEZE
	ioctlThaw     = 0xc0045878 // FITHAW
	ioctlShutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
	noLogFlush    = 2          // the journal is not written: as if the power went
)

const (
	// loopTries: another process may take the loop device that was free.
	loopTries = 20
	// unmountTries and unmountPause: a killed process may take a moment to let
	// its files go.
	unmountTries = 100
	unmountPause = 20 * time.Millisecond
	// maxFrozen is when a frozen disk thaws by itself, so that no failed test
	// leaves processes that nothing can kill.
	maxFrozen = 5 * time.Minute
)

// Disk is a file system of a host on a disk of its own.
type Disk struct {
	host  *Host
	image string
	path  string

	mu      sync.Mutex
	mounted bool
	thawer  *exec.Cmd // ends a freeze that nobody ends
}

// Disk gives the host a disk of sizeMB MiB with an empty ext4. raft logs take
// 64 MiB at once, so 256 is a sensible least.
func (h *Host) Disk(sizeMB int) (*Disk, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	base := filepath.Join(h.rig.dir, fmt.Sprintf("%s-disk%d", h.name, len(h.disks)))
	d := &Disk{host: h, image: base + ".img", path: base}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(d.image, int64(sizeMB)<<20); err != nil {
		return nil, err
	}
	// -m 0: root would otherwise still find room on a full disk.
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", d.image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("rig: mkfs.ext4: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		return nil, err
	}
	if err := d.mount(); err != nil {
		return nil, err
	}
	h.disks = append(h.disks, d)
	return d, nil
}

// Path is where the disk is mounted.
func (d *Disk) Path() string { return d.path }

func (d *Disk) mount() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mounted {
		return nil
	}
	loop, err := attach(d.image)
	if err != nil {
		return fmt.Errorf("rig: loop device for %s: %w", d.image, err)
	}
	// The device goes when its last user does: from now on that is the mount.
	defer loop.Close()
	if err := unix.Mount(loop.Name(), d.path, "ext4", 0, ""); err != nil {
		return fmt.Errorf("rig: mount %s: %w", d.image, err)
	}
	d.mounted = true
	return nil
}

// attach makes a loop device of an image.
func attach(image string) (*os.File, error) {
	img, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer img.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for range loopTries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, err
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		cfg := unix.LoopConfig{Fd: uint32(img.Fd())}
		cfg.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		copy(cfg.Info.File_name[:], image)
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &cfg)
		if err == nil {
			return loop, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, err
		}
	}
	return nil, unix.EBUSY
}

func (d *Disk) unmount() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mounted {
		return nil
	}
	if err := unmount(d.path); err != nil {
		return err
	}
	d.mounted = false
	return nil
}

func unmount(path string) error {
	err := unix.EBUSY
	for range unmountTries {
		var e error
		if e = unix.Unmount(path, 0); e == nil {
			return nil
		}
		if !errors.Is(e, unix.EBUSY) {
			return fmt.Errorf("rig: unmount %s: %w", path, e)
		}
		time.Sleep(unmountPause)
	}
	return fmt.Errorf("rig: unmount %s: %w: somebody holds a file there open", path, err)
}

// ioctl asks the file system something, through its top folder.
func ioctl(path string, req uint, value int) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.IoctlSetPointerInt(fd, req, value)
}

// Freeze lets every write to the disk wait until Thaw, as a disk that hangs
// does. Whoever waits cannot even be killed.
func (d *Disk) Freeze() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.thawer != nil {
		return errors.New("rig: the disk is frozen already")
	}
	// A process of its own: it must outlive us if we are killed.
	guard := exec.Command("sh", "-c", fmt.Sprintf("sleep %d; exec fsfreeze --unfreeze %s", int(maxFrozen.Seconds()), d.path))
	d.host.rig.adopt(guard)
	guard.SysProcAttr.Pdeathsig = 0
	if err := d.host.Do(guard.Start); err != nil { // there, so that a sweep finds it
		return err
	}
	if err := ioctl(d.path, ioctlFreeze, 0); err != nil {
		return errors.Join(fmt.Errorf("rig: freeze %s: %w", d.path, err), endGuard(guard))
	}
	d.thawer = guard
	return nil
}

// Thaw ends Freeze.
func (d *Disk) Thaw() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.thawer == nil {
		return nil
	}
	err := ioctl(d.path, ioctlThaw, 0)
	if errors.Is(err, unix.EINVAL) {
		err = nil // the guard was first
	}
	guard := d.thawer
	d.thawer = nil
	return errors.Join(err, endGuard(guard))
}

func endGuard(guard *exec.Cmd) error {
	if err := unix.Kill(-guard.Process.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	_ = guard.Wait() // "killed" is what we want to hear
	return nil
}

// ballast is the file that fills the disk.
func (d *Disk) ballast() string { return filepath.Join(d.path, ".ballast") }

// Fill takes all room on the disk.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	// By halves: one reservation of all that is free fails for want of the
	// blocks that hold its own list.
	end := int64(0)
	for step := int64(1) << 40; step >= 4096; {
		switch err := unix.Fallocate(int(f.Fd()), 0, end, step); {
		case err == nil:
			end += step
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EFBIG):
			step /= 2
		case errors.Is(err, unix.EINTR):
		default:
			return fmt.Errorf("rig: fill %s: %w", d.path, err)
		}
	}
	return f.Sync()
}

// Free gives the room back.
func (d *Disk) Free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// shutdownDisks stops all writing at once; what is not on the disk never will be.
func (h *Host) shutdownDisks() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, d := range h.disks {
		err := ioctl(d.path, ioctlShutdown, noLogFlush)
		if err == nil {
			err = d.Thaw()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("rig: take the power from %s: %w", d.path, err))
		}
	}
	return errors.Join(errs...)
}

func (h *Host) remountDisks() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, d := range h.disks {
		errs = append(errs, d.unmount(), d.mount())
	}
	return errors.Join(errs...)
}
