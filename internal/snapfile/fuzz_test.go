package snapfile

import (
	"bytes"
	"io"
	"testing"
)

func FuzzVerify(f *testing.F) {
	raw, _ := archive(f, "state")
	f.Add(raw)
	f.Add([]byte("rubbish"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var state bytes.Buffer
		meta, err := unpack(bytes.NewReader(b), &state, 1<<20)
		if err == nil && int64(state.Len()) != meta.Size {
			t.Errorf("%d bytes of state, the meta says %d", state.Len(), meta.Size)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(someState(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Records(io.LimitReader(bytes.NewReader(b), 1<<20), func(Record) error { return nil })
	})
}
