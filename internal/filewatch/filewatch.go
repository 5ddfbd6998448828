package filewatch

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// every is how often the files are looked at: soon enough for a person who
// has just saved one, and a few system calls.
const every = time.Second

// Watch sends to out when files, or files in directories, are other than they
// were, and stay so for one look: an editor writes in several steps.
func Watch(ctx context.Context, paths []string, out chan<- struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	told, last := look(paths), ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := look(paths)
		if now != told && now == last {
			told = now
			select {
			case out <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		last = now
	}
}

// look describes the files by name, size and time.
func look(paths []string) string {
	var seen []byte
	add := func(path string, info fs.FileInfo) {
		seen = append(seen, path...)
		seen = info.ModTime().AppendFormat(append(seen, 0), time.RFC3339Nano)
		seen = append(seen, byte(info.Size()), byte(info.Size()>>8), byte(info.Size()>>16), 0)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue // gone: that is a change, too
		}
		if !info.IsDir() {
			add(path, info)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			continue
		}
		for _, e := range entries {
			full := filepath.Join(path, e.Name())
			if info, err := os.Stat(full); err == nil && !info.IsDir() { // where a link leads counts
				add(full, info)
			}
		}
	}
	return string(seen)
}
