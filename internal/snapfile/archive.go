package snapfile

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"consul.internal/internal/fault"
)

// Meta says what a snapshot is of.
type Meta struct {
	Version int    // of the archive's form
	ID      string // tells snapshots apart, no more
	Index   uint64 // of the last log entry in it
	Term    uint64 // of that entry
	Size    int64  // of the state, bytes
}

// Version of the form that Write writes.
const Version = 1

// Names of the files in an archive, in their order.
const (
	metaName  = "meta.json"
	stateName = "state.bin"
	sumsName  = "SHA256SUMS"
)

const (
	// MaxState bounds the state in an archive: several times what a server holds in
	// memory, so that an archive made to swell fills no disk.
	MaxState = 16 << 30
	// maxSmall bounds the two files beside the state, which need a few hundred bytes.
	maxSmall = 1 << 20
	// maxPadding bounds what may follow the last file: tar pads to 10 KiB.
	maxPadding = 64 << 10
	// fileMode of whatever holds a snapshot: there are secrets in it.
	fileMode = 0o600
)

// Write writes an archive. state must have meta.Size bytes.
func Write(w io.Writer, meta Meta, state io.Reader) error {
	meta.Version = Version
	raw, err := json.Marshal(meta)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	sums := sha256.New()
	err = add(t, metaName, int64(len(raw)), bytes.NewReader(raw))
	if err == nil {
		err = add(t, stateName, meta.Size, io.TeeReader(state, sums))
	}
	if err == nil {
		metaSum := sha256.Sum256(raw)
		text := sumLine(metaSum[:], metaName) + sumLine(sums.Sum(nil), stateName)
		err = add(t, sumsName, int64(len(text)), strings.NewReader(text))
	}
	if err == nil {
		err = errors.Join(t.Close(), z.Close())
	}
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

func sumLine(sum []byte, name string) string { return hex.EncodeToString(sum) + "  " + name + "\n" }

func add(t *tar.Writer, name string, size int64, content io.Reader) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: fileMode, Size: size, Format: tar.FormatPAX}); err != nil {
		return err
	}
	n, err := io.Copy(t, content)
	if err == nil && n != size {
		err = fmt.Errorf("%s has %d bytes instead of %d", name, n, size)
	}
	return err
}

// Verify reads a whole archive and checks every file in it.
func Verify(r io.Reader) (Meta, error) { return unpack(r, io.Discard, MaxState) }

// Snapshot is a checked archive: its meta, and its state to be read.
type Snapshot struct {
	Meta Meta
	file *os.File
}

// Open reads and checks an archive, keeping the state in a file below dir ("" =
// the system's place for such) that is gone with Close, or with the process.
func Open(r io.Reader, dir string) (*Snapshot, error) {
	f, err := os.CreateTemp(dir, ".snapshot.tmp-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("a snapshot needs room on disk while it is read: %w", err)
	}
	s := &Snapshot{file: f}
	err = os.Remove(f.Name()) // the open file stays
	if err == nil {
		s.Meta, err = unpack(r, f, MaxState)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// Read reads the state.
func (s *Snapshot) Read(p []byte) (int, error) { return s.file.Read(p) }

// Close gives the state's file up.
func (s *Snapshot) Close() error { return s.file.Close() }

// damaged is an error about the archive, not about reading or keeping it.
func damaged(format string, args ...any) error {
	return fault.Newf(fault.Invalid, format, args...)
}

// unpack writes an archive's state to w and checks everything.
func unpack(r io.Reader, w io.Writer, limit int64) (Meta, error) {
	in := bufio.NewReader(r)
	z, err := gzip.NewReader(in)
	if err != nil {
		return Meta{}, damaged("failed to decompress snapshot: %w", short(err))
	}
	z.Multistream(false)
	u := unpacker{state: w, limit: limit, sums: map[string]string{}}
	t := tar.NewReader(z)
	for _, want := range []string{metaName, stateName, sumsName} {
		h, err := t.Next()
		if err != nil {
			return Meta{}, damaged("failed reading snapshot: %s: %w", want, short(err))
		}
		if h.Name != want || h.Typeflag != tar.TypeReg {
			return Meta{}, damaged("failed reading snapshot: %q stands where %s should be", h.Name, want)
		}
		if err := u.file(want, h.Size, t); err != nil {
			return Meta{}, err
		}
	}
	if h, err := t.Next(); !errors.Is(err, io.EOF) {
		if err != nil {
			return Meta{}, damaged("failed reading snapshot: %w", short(err))
		}
		return Meta{}, damaged("failed reading snapshot: unexpected file %q", h.Name)
	}
	// gzip checks its sum when it meets the end.
	if n, err := io.Copy(io.Discard, io.LimitReader(z, maxPadding)); err != nil || n == maxPadding {
		return Meta{}, damaged("failed to decompress snapshot: %w", or(short(err), errTail))
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return Meta{}, damaged("failed reading snapshot: %w", or(err, errTail))
	}
	return u.meta, nil
}

var errTail = errors.New("bytes follow its end")

func or(err, otherwise error) error {
	if err == nil {
		return otherwise
	}
	return err
}

// unpacker takes the files of one archive.
type unpacker struct {
	meta  Meta
	state io.Writer
	limit int64
	sums  map[string]string
}

func (u *unpacker) file(name string, size int64, r io.Reader) error {
	sum := sha256.New()
	r = io.TeeReader(r, sum)
	if name == stateName {
		if size != u.meta.Size {
			return damaged("failed reading snapshot: the state has %d bytes, its meta says %d", size, u.meta.Size)
		}
		if size > u.limit {
			return damaged("failed reading snapshot: a state of %d bytes, at most %d are taken", size, u.limit)
		}
		to := &sink{w: u.state}
		if _, err := io.Copy(to, r); err != nil {
			if to.err != nil {
				return fmt.Errorf("keep snapshot: %w", to.err)
			}
			return damaged("failed reading snapshot: %w", short(err))
		}
		u.sums[name] = hex.EncodeToString(sum.Sum(nil))
		return nil
	}
	if size > maxSmall {
		return damaged("failed reading snapshot: %s of %d bytes", name, size)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return damaged("failed reading snapshot: %w", short(err))
	}
	u.sums[name] = hex.EncodeToString(sum.Sum(nil))
	if name == sumsName {
		return u.check(string(raw))
	}
	if err := json.Unmarshal(raw, &u.meta); err != nil {
		return damaged("failed to decode snapshot metadata: %w", err)
	}
	if u.meta.Version != Version || u.meta.Size < 0 {
		return damaged("this snapshot is of another version (%d; %d is known)", u.meta.Version, Version)
	}
	return nil
}

// check compares the sums that an archive gives with those of its files.
func (u *unpacker) check(text string) error {
	want := u.sums[metaName] + "  " + metaName + "\n" + u.sums[stateName] + "  " + stateName + "\n"
	if text != want {
		return damaged("failed checking integrity of snapshot: the checksums are wrong")
	}
	return nil
}

// sink tells an error of writing from one of reading.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// short makes an early end an error of its own.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
