package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"consul.internal/store/state"
)

// FuzzImage: no bytes, however framed, may panic, balloon, or leave a trace in
// the state when they are refused.
func FuzzImage(f *testing.F) {
	c, err := newCodec(snapshotNesting)
	if err != nil {
		f.Fatal(err)
	}
	im, st := image{c}, state.New(nil)
	tx := st.Begin(1)
	if err := tx.EnsureRegistration(registration(1)); err != nil {
		f.Fatal(err)
	}
	tx.Commit()
	var b bytes.Buffer
	if err := im.write(&b, st.Snapshot(), 1); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), false)
	f.Add(b.Bytes()[8:200], true) // what is inside the first chunk
	empty := dump(state.New(nil))
	f.Fuzz(func(t *testing.T, data []byte, frame bool) {
		if frame { // with right checksums, so that the decoder is reached
			var framed bytes.Buffer
			w := newChunkWriter(&framed)
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.finish(); err != nil {
				t.Fatal(err)
			}
			data = framed.Bytes()
		}
		st := state.New(nil)
		if _, err := im.read(bytes.NewReader(data), st); err != nil && dump(st) != empty {
			t.Error("a refused image left something")
		}
	})
}

// FuzzCommand: bytes in the log that are no command are refused without a panic.
func FuzzCommand(f *testing.F) {
	s, err := New(testConfig(""), testDeps())
	if err != nil {
		f.Fatal(err)
	}
	cmd, err := s.fsm.encode(commandRegister, registration(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cmd)
	f.Add([]byte{0xa3})
	f.Fuzz(func(t *testing.T, data []byte) {
		do, err := s.fsm.decode(data)
		if err != nil {
			return
		}
		tx := state.New(nil).Begin(1)
		if _, err := do(tx); err != nil {
			tx.Abort()
			return
		}
		tx.Commit()
	})
}

// FuzzTail: a segment may hold anything.
func FuzzTail(f *testing.F) {
	f.Add(append(make([]byte, segmentHeader), 1, 0, 0, 0, 4, 0, 0, 0, 'a', 'b', 'c', 'd', 0, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 4))
	f.Add(append(make([]byte, segmentHeader), 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "segment")
		write(t, path, data)
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		tail, err := readTail(file)
		if err != nil || tail.end > int64(len(data)) {
			t.Errorf("%+v of %d bytes: %v", tail, len(data), err)
		}
	})
}
