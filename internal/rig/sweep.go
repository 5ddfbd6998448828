//go:build linux

package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// lockSuffix makes of a rig's folder the file beside it that its process keeps
// locked for as long as it lives. A process's number would be taken again by
// another one.
const lockSuffix = ".lock"

// claim makes a folder for a new rig and locks it.
func claim(base string) (string, *os.File, error) {
	// While the folder has no lock yet, nobody may sweep.
	gate, err := lockGate(base)
	if err != nil {
		return "", nil, err
	}
	defer gate.Close()
	dir, err := os.MkdirTemp(base, fmt.Sprintf("%d-", os.Getpid()))
	if err != nil {
		return "", nil, err
	}
	f, err := os.OpenFile(dir+lockSuffix, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return "", nil, errors.Join(err, f.Close())
	}
	return dir, f, nil
}

func lockGate(base string) (*os.File, error) {
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(base, lockSuffix), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep removes what rigs left whose process is dead.
func sweep(ctx context.Context, base string, log *zap.Logger) error {
	gate, err := lockGate(base)
	if err != nil {
		return err
	}
	defer gate.Close()
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || ctx.Err() != nil {
			continue
		}
		errs = append(errs, sweepOne(filepath.Join(base, e.Name()), log))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func sweepOne(dir string, log *zap.Logger) error {
	f, err := os.OpenFile(dir+lockSuffix, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil // its owner lives
	}
	log.Info("removing what a dead rig left", zap.String("dir", dir))
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		// Not frozen is an error that says nothing; whoever waited wakes.
		_ = ioctl(m, ioctlThaw, 0)
	}
	if err := killMarked(dir); err != nil {
		return err
	}
	var errs []error
	for _, m := range mounts {
		errs = append(errs, unmount(m))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(dir), os.Remove(f.Name()))
}

// mountsBelow lists dir itself too if something is mounted there; what was
// mounted last comes first.
func mountsBelow(dir string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && (f[1] == dir || strings.HasPrefix(f[1], dir+"/")) {
			found = append(found, f[1])
		}
	}
	slices.Reverse(found)
	return found, nil
}

// killMarked kills the processes that carry the rig's mark.
func killMarked(dir string) error {
	pids, err := marked(dir)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("rig: kill the leftover process %d: %w", pid, err)
		}
	}
	return nil
}

// marked finds the processes that carry the rig's mark in their environment. It
// looks only at those in another network than ours: all of a rig's are.
func marked(dir string) ([]int, error) {
	ours, err := os.Readlink(threadNamespace)
	if err != nil {
		return nil, err
	}
	proc, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	mark := []byte(marker + "=" + dir)
	var pids []int
	for _, e := range proc {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		at := filepath.Join("/proc", e.Name())
		if net, err := os.Readlink(filepath.Join(at, "ns/net")); err != nil || net == ours {
			continue // an error: it has ended
		}
		env, err := os.ReadFile(filepath.Join(at, "environ"))
		if err != nil {
			continue
		}
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if bytes.Equal(v, mark) {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}
