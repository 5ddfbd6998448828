//go:build linux

package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	// marker in the environment names the rig that a process belongs to, so that
	// the next rig finds those whose rig died.
	marker = "FAULT_RIG_DIR"
	// maxTail bytes of a process's output are shown when a test fails.
	maxTail = 8 << 10
)

// Process is one that runs on a host, with all that it starts.
type Process struct {
	host *Host
	cmd  *exec.Cmd
	args []string // as they were given
	log  string
	done chan struct{}
	err  error // of Wait, once done is closed

	mu     sync.Mutex
	reaped bool // its number may be another's by now
}

// Start runs a command on the host until it ends or the rig does. What it
// writes goes to a file, see Log. Its /etc/hosts knows the names of all
// hosts; other names it asks of its own 127.0.0.1:53.
func (h *Host) Start(args ...string) (*Process, error) {
	return h.StartCmd(exec.Command(args[0], args[1:]...))
}

// StartCmd is Start for a command with its own folder and environment.
func (h *Host) StartCmd(cmd *exec.Cmd) (*Process, error) {
	if cmd.Err != nil {
		return nil, fmt.Errorf("rig: start on %s: %w", h.name, cmd.Err)
	}
	if filepath.IsAbs(cmd.Path) {
		if _, err := os.Stat(cmd.Path); err != nil {
			return nil, fmt.Errorf("rig: start on %s: %w", h.name, err)
		}
	}
	h.mu.Lock()
	h.started++
	log := filepath.Join(h.rig.dir, fmt.Sprintf("%s-%d-%s.log", h.name, h.started, filepath.Base(cmd.Path)))
	h.mu.Unlock()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	h.rig.adopt(cmd)
	args := cmd.Args
	if err := h.rig.withNames(cmd); err != nil {
		return nil, err
	}
	if err := h.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("rig: start on %s: %w", h.name, err)
	}
	p := &Process{host: h, cmd: cmd, args: args, log: log, done: make(chan struct{})}
	h.mu.Lock()
	h.processes = append(h.processes, p)
	h.mu.Unlock()
	h.rig.tasks.Go(p.await)
	return p, nil
}

// await waits for the end and ends with it what the process started. Until it
// is reaped, its number, which is the group's too, is nobody else's.
func (p *Process) await() {
	for errors.Is(unix.Waitid(unix.P_PID, p.Pid(), nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.signalGroup(unix.SIGKILL); err != nil {
		p.host.rig.log.Warn("kill what a process left", zap.Stringer("process", p), zap.Error(err))
	}
	p.err = p.cmd.Wait()
	p.reaped = true
	close(p.done)
}

func (p *Process) signalGroup(s syscall.Signal) error {
	if err := unix.Kill(-p.Pid(), s); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("rig: %v to %s: %w", s, p, err)
	}
	return nil
}

// adopt makes a command one of the rig: a group of its own, that dies with us.
func (r *Rig) adopt(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(cmd.Environ(), marker+"="+r.dir)
}

// withNames gives the command a mount table of its own in which /etc/hosts has
// the hosts' names and no DNS server but the host itself is asked for others. The programs on the way replace themselves by the command,
// so that its number is the one that was started.
func (r *Rig) withNames(cmd *exec.Cmd) error {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	args := []string{
		unshare, "--mount", "--propagation", "slave", "--",
		"sh", "-c", `mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"`, r.dir, cmd.Path,
	}
	cmd.Path, cmd.Args = unshare, append(args, cmd.Args[1:]...)
	return nil
}

// SlowSync makes of a command one whose every fsync and fdatasync takes longer,
// as on a slow disk.
func SlowSync(delay time.Duration, args ...string) []string {
	return inject(fmt.Sprintf("delay_enter=%d", delay.Microseconds()), args)
}

// FailSync makes of a command one whose nth fsync or fdatasync fails with EIO.
func FailSync(nth int, args ...string) []string {
	return inject(fmt.Sprintf("error=EIO:when=%d", nth), args)
}

// inject: -D keeps the command our child and makes the tracer a grandchild;
// --seccomp-bpf lets all other system calls run at full speed.
func inject(what string, args []string) []string {
	return append([]string{
		"strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null",
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:" + what,
	}, args...)
}

// String names the process as a person would.
func (p *Process) String() string {
	return fmt.Sprintf("%s (pid %d)", strings.Join(p.args, " "), p.Pid())
}

// Pid is the process's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process and all that it started. A process that
// is gone takes none, without an error.
func (p *Process) Signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	return p.signalGroup(s)
}

// Kill ends it at once (SIGKILL) and waits until it is gone. One that waits for a
// frozen disk goes when the disk thaws.
func (p *Process) Kill() error {
	if err := p.Signal(unix.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Stop pauses it (SIGSTOP), Cont lets it go on.
func (p *Process) Stop() error { return p.Signal(unix.SIGSTOP) }

// Cont ends Stop.
func (p *Process) Cont() error { return p.Signal(unix.SIGCONT) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Alive tells whether it has not ended; a stopped one is alive.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Wait waits for its end and tells how that was (nil, *exec.ExitError), or the
// context's error.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// RSS is the memory that the process holds, bytes.
func (p *Process) RSS() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("rig: no VmRSS for %s: it has ended", p)
}

// FDs is how many files and sockets the process holds open.
func (p *Process) FDs() (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid()))
	return len(entries), err
}

// LimitFDs lets the running process hold no more than n files and sockets.
func (p *Process) LimitFDs(n int) error {
	return unix.Prlimit(p.Pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(n), Max: uint64(n)}, nil)
}

// Log is the file with all that the process wrote.
func (p *Process) Log() string { return p.log }

// Tail is the last of what it wrote, in whole lines of at most max bytes.
func (p *Process) Tail(max int) []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	if len(text) <= max {
		return text
	}
	text = text[len(text)-max:]
	return text[bytes.IndexByte(text, '\n')+1:]
}
