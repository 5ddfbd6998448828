package disklog

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzTail: a segment may hold anything.
func FuzzTail(f *testing.F) {
	f.Add(append(make([]byte, segmentHeader), 1, 0, 0, 0, 4, 0, 0, 0, 'a', 'b', 'c', 'd', 0, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 4))
	f.Add(append(make([]byte, segmentHeader), 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "segment")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
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
