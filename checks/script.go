package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"consul.internal/catalog"
)

// scriptGrace is how long a script's output is still read after the script has
// ended or was killed: children of it may hold the pipe open for ever.
const scriptGrace = time.Second

// execute runs a command with its output going to out. When ctx ends, the whole
// process group is killed.
func execute(ctx context.Context, out io.Writer, command string, args ...string) error {
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = scriptGrace
	err := cmd.Run()
	// A background child that holds the pipe is no fault of a command that ended well.
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
}

// exitStatus is what an exit code says: 0 passes, 1 warns, anything else is critical.
func exitStatus(code int) catalog.Status {
	switch code {
	case 0:
		return catalog.Passing
	case 1:
		return catalog.Warning
	default:
		return catalog.Critical
	}
}

// timedOut is the output of a command that was cut off.
func timedOut(timeout time.Duration, out *tail) string {
	text := fmt.Sprintf("Timed out (%s) running check", timeout)
	if s := out.String(); s != "" {
		text += "\n\n" + s
	}
	return text
}

// scriptProbe runs a command and takes its exit code for a status.
func scriptProbe(d *Definition, timeout time.Duration, maxSize int) probe {
	return func(ctx context.Context) (catalog.Status, string) {
		out := newTail(maxSize)
		err := execute(ctx, out, d.Args[0], d.Args[1:]...)
		if err != nil && ctx.Err() != nil {
			return catalog.Critical, timedOut(timeout, out)
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exitStatus(exit.ExitCode()), out.String()
		}
		if err != nil {
			return catalog.Critical, err.Error()
		}
		return catalog.Passing, out.String()
	}
}
