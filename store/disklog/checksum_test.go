package disklog

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// No byte of an entry on the disk can turn unseen, the time when it was made among
// them. What an earlier form of the checksum left out is still read.
func TestEveryByteCounts(t *testing.T) {
	dir := t.TempDir()
	m, _, err := OpenMark(filepath.Join(dir, "mark"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenLog(Config{
		Dir: filepath.Join(dir, "wal"), SegmentSize: 1 << 20, Mark: m, Gate: NewGate(zap.NewNop()), Logger: zap.NewNop(),
		Run: func(f func()) bool { f(); return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	made := time.Date(2026, 3, 4, 5, 6, 7, 89, time.FixedZone("", 3600))
	data := []byte("what the entry says")
	if err := l.StoreLogs([]*raft.Log{{Index: 1, Term: 3, Type: raft.LogCommand, Data: data, AppendedAt: made}}); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	content, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	size := int(binary.LittleEndian.Uint32(content[segmentHeader+4:]))
	begin := segmentHeader + 8
	if size <= len(data) || !bytes.Contains(content[begin:begin+size], data) {
		t.Fatalf("the entry is not where it was looked for (%d bytes)", size)
	}
	f, err := os.OpenFile(paths[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(b byte, at int) {
		t.Helper()
		if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	for at := begin; at < begin+size; at++ {
		put(content[at]^2, at)
		if _, err := l.Read(1, new(raft.Log)); !IsDamage(err) {
			t.Errorf("byte %d of %d can turn: %v", at-begin, size, err)
		}
		put(content[at], at)
	}
	var e raft.Log
	if _, err := l.Read(1, &e); err != nil || !e.AppendedAt.Equal(made) || !bytes.Equal(e.Data, data) {
		t.Errorf("%+v, %v", e, err)
	}

	// The earlier form, in place of the present one.
	plain := &raft.Log{Index: 1, Term: 3, Type: raft.LogCommand, Data: data}
	at := begin + bytes.Index(content[begin:begin+size], data) + len(data) + 1 // behind the length of the extensions
	put(trailerUntimed, at)
	sum := binary.LittleEndian.AppendUint32(nil, checksum(plain, 0, trailerUntimed))
	for i, b := range sum {
		put(b, at+1+8+i)
	}
	if _, err := l.Read(1, &e); err != nil || !bytes.Equal(e.Data, data) {
		t.Errorf("the earlier form: %+v, %v", e, err)
	}
}
