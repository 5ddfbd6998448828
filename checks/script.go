package checks

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"consul.internal/catalog"
)

// scriptGrace is how long a script's output is still read after the script has
// ended or was killed: children of it may hold the pipe open for ever.
const scriptGrace = time.Second

// scriptProbe runs a command: exit code 0 passes, 1 warns, anything else is
// critical. At the timeout the whole process group is killed.
func scriptProbe(d *Definition, timeout time.Duration, maxSize int) probe {
	return func(ctx context.Context) (catalog.Status, string) {
		cmd := exec.CommandContext(ctx, d.Args[0], d.Args[1:]...)
		out := newTail(maxSize)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = scriptGrace
		err := cmd.Run()
		if err != nil && ctx.Err() != nil {
			text := fmt.Sprintf("Timed out (%s) running check", timeout)
			if s := out.String(); s != "" {
				text += "\n\n" + s
			}
			return catalog.Critical, text
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			if exit.ExitCode() == 1 {
				return catalog.Warning, out.String()
			}
			return catalog.Critical, out.String()
		}
		// A background child that holds the pipe is no fault of a script that ended well.
		if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			return catalog.Critical, err.Error()
		}
		return catalog.Passing, out.String()
	}
}
