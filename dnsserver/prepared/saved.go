package prepared

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"
	"go.uber.org/zap"

	"consul.internal/internal/durable"
	"consul.internal/internal/fault"
)

// The file is magic, CRC32C of the rest (Castagnoli, RFC 3720 appendix B.4), and a
// list of results in CBOR, the one asked for last in front. It is made anew when
// something changes: there are few, and they are small.
const (
	fileMagic = "cPq1"
	fileHead  = len(fileMagic) + 4
	maxFile   = 256 << 20 // more than all instances that are kept can need
)

// saved is one result in the file.
type saved struct {
	Datacenter string `cbor:"d"`
	Name       string `cbor:"n"`
	Owner      string `cbor:"o,omitempty"` // in whose name it was executed
	Answer     Answer `cbor:"a"`
}

// Saving bounds the writing of the file.
const (
	saveDelay = 500 * time.Millisecond // a new name is on disk within a second
	saveShare = 20                     // of the time at most one part in so many is spent on writing
	saveRetry = 5 * time.Second        // a full disk does not empty faster
)

// Open reads what was kept before at path, and keeps there from now on what there
// is. What cannot be read is left out and named in the log, and what was executed in the
// name of another owner is dropped.
func (c *Cache) Open(_ context.Context, path, owner string, log *zap.Logger) error {
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return fmt.Errorf("make the directory of the results of prepared queries: %w", err)
	}
	list, err := readFile(path)
	if err != nil {
		log.Warn("results of prepared queries that were kept cannot be read; they are learned anew", zap.String("file", path), zap.Error(err))
	}
	c.mu.Lock()
	c.owner = owner
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Owner != owner {
			c.poke() // so that nothing of it is left on disk
			continue
		}
		c.set(key{list[i].Datacenter, list[i].Name}, list[i].Answer)
	}
	c.mu.Unlock()
	c.wg.Go(func() { c.save(path, log) })
	return nil
}

// save writes the file after changes, and once more in the end.
func (c *Cache) save(path string, log *zap.Logger) {
	pause, failing := saveDelay, false
	for ended := false; !ended; {
		behind := false
		select {
		case <-c.life.Done():
		case <-c.changed:
			behind = true
			c.sleep(pause)
		}
		ended = c.life.Err() != nil
		select {
		case <-c.changed:
			behind = true
		default:
		}
		if !behind {
			continue
		}
		began := time.Now()
		err := c.write(path)
		pause = max(saveDelay, saveShare*time.Since(began))
		if err != nil {
			c.poke()
			pause = saveRetry
		}
		if err != nil && !failing {
			log.Warn("results of prepared queries cannot be kept on disk", zap.Error(err))
		}
		failing = err != nil
	}
}

// sleep waits, but not beyond the cache's end.
func (c *Cache) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.life.Done():
	case <-t.C:
	}
}

// poke notes that the file is behind.
func (c *Cache) poke() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *Cache) write(path string) error {
	c.mu.Lock()
	all := make([]saved, 0, len(c.kept))
	for el := c.recent.Front(); el != nil; el = el.Next() {
		e := el.Value.(*entry)
		all = append(all, saved{e.datacenter, e.name, c.owner, e.answer})
	}
	c.mu.Unlock()
	raw, err := cbor.Marshal(all)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	head := binary.LittleEndian.AppendUint32([]byte(fileMagic), checksum(raw))
	return durable.WriteFile(path, append(head, raw...))
}

func checksum(raw []byte) uint32 { return crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli)) }

func readFile(path string) ([]saved, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fault.Newf(fault.Invalid, "it has %d bytes, at most %d can be right", info.Size(), maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decode(data)
}

// decode reads a file's bytes.
func decode(data []byte) ([]saved, error) {
	if len(data) < fileHead || !bytes.HasPrefix(data, []byte(fileMagic)) ||
		binary.LittleEndian.Uint32(data[len(fileMagic):]) != checksum(data[fileHead:]) {
		return nil, fault.Newf(fault.Invalid, "it is damaged")
	}
	dec, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	if err != nil {
		return nil, err
	}
	var list []saved
	if err := dec.Unmarshal(data[fileHead:], &list); err != nil {
		return nil, fault.With(fault.Invalid, err)
	}
	for _, s := range list {
		for _, i := range s.Answer.Instances {
			if i == nil || i.Node == nil || i.Service == nil {
				return nil, fault.Newf(fault.Invalid, "an instance is not whole")
			}
			for _, check := range i.Checks {
				if check == nil {
					return nil, fault.Newf(fault.Invalid, "a check is not whole")
				}
			}
		}
	}
	return list, nil
}

// same reports whether an answer says what another said, as far as its index tells.
func (a *Answer) same(o *Answer) bool {
	return a.Index == o.Index && a.Index != 0 && a.Datacenter == o.Datacenter && len(a.Instances) == len(o.Instances)
}
