package fsm

import (
	"bytes"
	"testing"

	"consul.internal/store/state"
)

// checked is a snapshot that somebody has gone over.
type checked struct{ *bytes.Reader }

func (checked) Checked() {}

// TestChecked: a snapshot that has been gone over is read to the same state, and
// still no byte of a chunk that is wrong is used.
func TestChecked(t *testing.T) {
	st := state.New(nil)
	one := newFSM(t, st)
	tx := st.Begin(1)
	for i := range 100 {
		if err := tx.EnsureRegistration(registration(i)); err != nil {
			t.Fatal(err)
		}
	}
	tx.Commit()
	var image bytes.Buffer
	if err := one.WriteImage(&image, st.Snapshot(), 100); err != nil {
		t.Fatal(err)
	}
	read := func(raw []byte) ([]byte, error) {
		to := state.New(nil)
		other := newFSM(t, to)
		if _, err := other.ReadImage(checked{bytes.NewReader(raw)}, to); err != nil {
			return nil, err
		}
		var again bytes.Buffer
		err := other.WriteImage(&again, to.Snapshot(), 100)
		return again.Bytes(), err
	}
	if got, err := read(image.Bytes()); err != nil || !bytes.Equal(got, image.Bytes()) {
		t.Errorf("another state was read: %v", err)
	}
	for at := 8; at < image.Len()-40; at += 997 { // behind the first length, before the end and its sum
		raw := bytes.Clone(image.Bytes())
		raw[at] ^= 1
		if _, err := read(raw); err == nil {
			t.Errorf("byte %d changed and nobody saw it", at)
		}
	}
}
