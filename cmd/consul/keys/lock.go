package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"consul.internal/cmd/consul/command"
)

const (
	// childGrace is the known time between SIGTERM and SIGKILL for a child.
	childGrace = 5 * time.Second
	// lockRetries is the known default of how often a failing server is asked again
	// before the lock counts as lost, a second apart.
	lockRetries   = 3
	lockRetryTime = time.Second
	// childFailed is the exit code for a child that failed, with -child-exit-code.
	childFailed = 2
	// lockHeld tells the child that it runs under the lock.
	lockHeld = "CONSUL_LOCK_HELD=true"
)

// locker is one run of the lock command.
type locker struct {
	*command.Command
	limit, retries              int
	name                        string
	timeout, try                time.Duration
	shell, verbose, stdin, code bool
}

func lockCommand(a *command.App) *command.Command {
	c := a.New("consul lock [options] prefix child...", "Runs a program while holding a lock",
		`Waits for a lock below the prefix, and runs a program while it is held: on one
machine at a time, or with -n on so many. A program whose lock is lost is told to
end with SIGTERM, and killed after 5 seconds.

    $ consul lock service/backup/leader ./backup.sh
    $ consul lock -n=3 service/workers ./work.sh`).WithClient(true)
	l := &locker{Command: c}
	c.Flags.IntVar(&l.limit, "n", 1, "How many may hold the lock. The same for all who use the prefix.")
	c.Flags.StringVar(&l.name, "name", "", "Name of the session. Default: made from the program and the prefix.")
	c.Flags.IntVar(&l.retries, "monitor-retry", lockRetries, "How often a server that fails is asked again, a second apart, before the lock counts as lost.")
	c.Flags.BoolVar(&l.shell, "shell", true, "Let a shell run the program: that of SHELL, or /bin/sh.")
	c.Flags.DurationVar(&l.timeout, "timeout", 0, "How long to wait for the lock, as 30s. 0: for ever.")
	c.Flags.DurationVar(&l.try, "try", 0, "Older name of -timeout.")
	c.Flags.BoolVar(&l.verbose, "verbose", false, "Say what happens to the lock.")
	c.Flags.BoolVar(&l.stdin, "pass-stdin", false, "Let the program read standard input.")
	c.Flags.BoolVar(&l.code, "child-exit-code", false, "Exit with 2 if the program fails. Else its exit code does not matter.")
	c.Do = func(args []string) int {
		switch {
		case len(args) < 2:
			return c.Misused("Key prefix and child command must be specified")
		case l.limit <= 0:
			c.Fail("Lock holder limit must be positive")
			return 1
		case l.timeout < 0 || l.try < 0:
			c.Fail("Timeout must be positive")
			return 1
		case l.retries < 0:
			c.Fail("Number of monitor retries must be positive")
			return 1
		}
		client, ok := c.Open()
		if !ok {
			return 1
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return l.run(ctx, client, strings.Trim(args[0], "/"), args[1:])
	}
	return c
}

// holding is a lock or a semaphore.
type holding struct {
	what    string
	acquire func(stop <-chan struct{}) (lost <-chan struct{}, err error)
	release func() error
	destroy func() error
	inUse   error
}

// lock makes what is to be held.
func (l *locker) lock(client *api.Client, prefix string, args []string) (*holding, error) {
	name := l.name
	if name == "" {
		name = fmt.Sprintf("Consul lock for '%s' at '%s'", strings.Join(args, " "), prefix)
	}
	wait := max(l.timeout, l.try)
	key := path.Join(prefix, api.DefaultSemaphoreKey)
	if l.limit == 1 {
		lock, err := client.LockOpts(&api.LockOptions{
			Key: key, SessionName: name, LockTryOnce: wait > 0, LockWaitTime: wait, MonitorRetries: l.retries, MonitorRetryTime: lockRetryTime,
		})
		if err != nil {
			return nil, err
		}
		return &holding{"lock at " + key, lock.Lock, lock.Unlock, lock.Destroy, api.ErrLockInUse}, nil
	}
	s, err := client.SemaphoreOpts(&api.SemaphoreOptions{
		Prefix: prefix, Limit: l.limit, SessionName: name, SemaphoreTryOnce: wait > 0, SemaphoreWaitTime: wait, MonitorRetries: l.retries, MonitorRetryTime: lockRetryTime,
	})
	if err != nil {
		return nil, err
	}
	return &holding{fmt.Sprintf("semaphore at %s, limit %d", prefix, l.limit), s.Acquire, s.Release, s.Destroy, api.ErrSemaphoreInUse}, nil
}

func (l *locker) run(ctx context.Context, client *api.Client, prefix string, args []string) int {
	h, err := l.lock(client, prefix, args)
	if err != nil {
		l.Fail("Lock setup failed: %s", err)
		return 1
	}
	l.tell("Attempting acquisition of %s", h.what)
	lost, err := h.acquire(ctx.Done())
	switch {
	case err != nil:
		l.Fail("Lock acquisition failed: %s", err)
		return 1
	case lost == nil && ctx.Err() != nil:
		l.tell("Interrupted while waiting for the lock")
		return 1
	case lost == nil:
		l.Fail("Timed out while waiting for the lock")
		return 1
	}
	l.tell("Lock acquired")
	code := l.child(ctx, lost, args)
	if !l.unlock(h) && code == 0 {
		return 1
	}
	return code
}

// child runs the program until it ends, the lock is lost or ctx ends, and returns
// the exit code.
func (l *locker) child(ctx context.Context, lost <-chan struct{}, args []string) int {
	args = child(args, l.shell)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), lockHeld)
	cmd.Stdout, cmd.Stderr = l.Out, l.Err
	// Of its own group, so that what a shell has started ends with it; but a
	// terminal is only read by the group in front.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !l.stdin}
	if l.stdin {
		cmd.Stdin = l.In
	}
	if err := cmd.Start(); err != nil {
		l.Fail("Error starting the program: %s", err)
		return childFailed
	}
	target := cmd.Process.Pid
	if !l.stdin {
		target = -target
	}
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { ended <- cmd.Wait() })
	code := 0
	select {
	case err := <-ended:
		if err != nil {
			l.tell("The program has failed: %s", err)
			if l.code {
				return childFailed
			}
		}
		return 0
	case <-lost:
		l.Fail("The lock is lost, ending the program")
		code = 1
	case <-ctx.Done():
		l.tell("Interrupted, ending the program")
	}
	l.end(target, ended)
	return code
}

// end tells the program to end, and kills it if it does not.
func (l *locker) end(target int, ended <-chan error) {
	_ = syscall.Kill(target, syscall.SIGTERM) // it may have ended already
	t := time.NewTimer(childGrace)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		l.tell("The program does not end, killing it")
		_ = syscall.Kill(target, syscall.SIGKILL)
		<-ended
	}
}

// unlock gives the lock back, and removes its key if nobody else wants it. It
// says whether all went well.
func (l *locker) unlock(h *holding) bool {
	if err := h.release(); err != nil {
		l.Fail("Lock release failed: %s", err)
		return false
	}
	switch err := h.destroy(); {
	case errors.Is(err, h.inUse):
		l.tell("Others use the lock, its key stays")
	case err != nil:
		l.Fail("Lock cleanup failed: %s", err)
		return false
	}
	return true
}

func (l *locker) tell(format string, args ...any) {
	if l.verbose {
		l.Say(format, args...)
	}
}
