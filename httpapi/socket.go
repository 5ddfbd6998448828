package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Socket is a unix socket to listen on, with its owner and mode.
type Socket struct {
	Path  string
	User  string // name or number; "" = the process's
	Group string
	Mode  string // octal; "" = as the umask has it
}

// listen makes the socket, in place of one that a dead process left behind.
func (k *Socket) listen(ctx context.Context) (net.Listener, error) {
	if err := k.clear(); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", k.Path)
	if err != nil {
		return nil, err
	}
	if err := k.own(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// clear removes a socket that nobody listens on. Anything else at the path stays.
func (k *Socket) clear() error {
	info, err := os.Lstat(k.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s is in the way and is not a socket", k.Path)
	}
	c, err := net.Dial("unix", k.Path)
	if err == nil {
		return errors.Join(fmt.Errorf("%s: %w", k.Path, syscall.EADDRINUSE), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // such as EAGAIN, where the one who listens is behind
		return fmt.Errorf("%s is in the way, and whether somebody listens on it cannot be told: %w", k.Path, err)
	}
	return os.Remove(k.Path)
}

func (k *Socket) own() error {
	if k.Mode != "" {
		mode, err := strconv.ParseUint(k.Mode, 8, 32)
		if err != nil {
			return fmt.Errorf("unix_sockets.mode %q is not an octal mode", k.Mode)
		}
		if err := os.Chmod(k.Path, fs.FileMode(mode)&fs.ModePerm); err != nil {
			return err
		}
	}
	uid, gid := -1, -1 // as they are
	if k.User != "" {
		u, err := user.Lookup(k.User)
		if err != nil {
			u, err = user.LookupId(k.User)
		}
		if err != nil {
			return fmt.Errorf("unix_sockets.user: %w", err)
		}
		if uid, err = strconv.Atoi(u.Uid); err != nil {
			return err
		}
	}
	if k.Group != "" {
		g, err := user.LookupGroup(k.Group)
		if err != nil {
			g, err = user.LookupGroupId(k.Group)
		}
		if err != nil {
			return fmt.Errorf("unix_sockets.group: %w", err)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return err
		}
	}
	return os.Chown(k.Path, uid, gid)
}
