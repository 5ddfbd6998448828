package fsm

import (
	"bytes"
	"testing"

	"consul.internal/internal/snapfile"
	"consul.internal/store/state"
)

// FuzzImage: no bytes, however framed, may panic, balloon, or leave a trace in
// the state when they are refused.
func FuzzImage(f *testing.F) {
	st := state.New(nil)
	im := newFSM(f, st).image
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
			w := snapfile.NewChunkWriter(&framed)
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
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
	m := newFSM(f, state.New(nil))
	cmd, err := m.Encode(TypeRegister, registration(1), Level)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cmd)
	f.Add([]byte{0xa3})
	f.Fuzz(func(t *testing.T, data []byte) {
		do, err := m.decode(data)
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
