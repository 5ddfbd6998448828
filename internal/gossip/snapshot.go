package gossip

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"consul.internal/internal/durable"
)

const (
	// maxSnapshot bounds what is read: serf keeps the file at 256 bytes a member.
	maxSnapshot = 64 << 20
	// maxLine of it: a name of 128 characters and an address.
	maxLine = 4096
)

// prepareSnapshot makes the file of known members with our modes and reads whom
// it knows. What cannot be read in it is skipped, as serf does.
func prepareSnapshot(path string, rejoinAfterLeave bool) ([]netip.AddrPort, error) {
	if path == "" {
		return nil, nil
	}
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("file of known members: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, durable.FileMode)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("file of known members: %w; give it to the user that the agent runs as", err)
		}
		return nil, fmt.Errorf("file of known members: %w", err)
	}
	known, err := readSnapshot(io.LimitReader(f, maxSnapshot), rejoinAfterLeave)
	if err = errors.Join(err, f.Chmod(durable.FileMode), f.Close()); err != nil {
		return nil, fmt.Errorf("file of known members: %w", err)
	}
	return known, nil
}

func readSnapshot(r io.Reader, rejoinAfterLeave bool) ([]netip.AddrPort, error) {
	alive := map[string]netip.AddrPort{}
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			continue // damage: no line is so long
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, err
		}
		verb, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		switch verb {
		case "alive:":
			name, addr, _ := strings.Cut(rest, " ")
			if at, err := netip.ParseAddrPort(addr); err == nil && ValidName(name) == nil && len(alive) < maxMembers {
				alive[name] = at
			}
		case "not-alive:":
			delete(alive, rest)
		case "leave":
			if !rejoinAfterLeave {
				clear(alive)
			}
		}
	}
	known := slices.Collect(maps.Values(alive))
	slices.SortFunc(known, netip.AddrPort.Compare)
	return known, nil
}
