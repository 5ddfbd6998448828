package store

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
	"consul.internal/internal/snapfile"
)

// TestSaveAndRestore: an archive taken under three servers brings all of them back
// to its state, in one step and under writes, with a new epoch of the same cluster.
func TestSaveAndRestore(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, _ := faulty(t, dir)
		for n := range 10 {
			if err := l.write(n); err != nil {
				t.Fatal(err)
			}
		}
		var saved bytes.Buffer
		s := l.leader()
		cluster := s.State().Cluster()
		index := save(t, s, &saved)
		a, err := snapfile.Open(bytes.NewReader(saved.Bytes()), "")
		if err != nil || a.Meta.Index != index || a.Meta.Term == 0 {
			t.Fatalf("meta %+v, index %d: %v", a.Meta, index, err)
		}
		tables := map[string]int{}
		head, err := snapfile.Records(a, func(r snapfile.Record) error { tables[r.Table]++; return nil })
		if err != nil || head.ClusterID != cluster.ID || head.Index > index || tables["services"] != 10 || tables["nodes"] != 10 {
			t.Errorf("the archive holds %+v %v: %v", head, tables, err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		for n := range 10 {
			if err := l.write(100 + n); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Restore(t.Context(), bytes.NewReader(saved.Bytes())); err != nil {
			t.Fatal(err)
		}
		if err := s.VerifyLeader(t.Context()); err != nil {
			t.Errorf("a verified read after the restore: %v", err)
		}
		if _, ok := s.State().Node("n105"); ok {
			t.Error("what was written after the save is still there")
		}
		now := s.State().Cluster()
		if now.ID != cluster.ID || now.Epoch != cluster.Epoch+1 || now.Expect != 3 {
			t.Errorf("cluster %+v became %+v", cluster, now)
		}
		if err := l.write(200); err != nil {
			t.Fatal(err)
		}
		want := dump(s.State())
		for _, id := range l.ids() {
			l.has(id, 200)
			if got := dump(l.get(id).State()); got != want {
				t.Errorf("server %s holds\n%s\nwant\n%s", id, got, want)
			}
		}
		for _, id := range l.ids() { // it outlives a restart of all
			l.stop(id)
		}
		for _, id := range l.ids() {
			l.start(id)
		}
		s = l.settled(3, 15*time.Second)
		if err := s.VerifyLeader(t.Context()); err != nil {
			t.Error(err)
		}
		l.has(s.cfg.NodeID, 200)
		if _, ok := s.State().Node("n105"); ok {
			t.Error("the restore is forgotten after a restart")
		}
	})
}

// save saves an archive. Its index is known before its first byte.
func save(t *testing.T, s *Store, to *bytes.Buffer) (index uint64) {
	t.Helper()
	err := s.Save(t.Context(), func(i uint64) (io.Writer, error) {
		if to.Len() > 0 {
			t.Error("the archive began before its index was told")
		}
		index = i
		return to, nil
	})
	if err != nil || index == 0 || to.Len() == 0 {
		t.Fatalf("save: index %d, %d bytes: %v", index, to.Len(), err)
	}
	return index
}

// TestRestoreRefuses: nothing that is not whole is used.
func TestRestoreRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, testConfig(""))
		ready(t, s)
		register(t, s, 1)
		var saved bytes.Buffer
		save(t, s, &saved)
		want := dump(s.State())
		if err := s.Restore(t.Context(), strings.NewReader("rubbish")); err == nil || err.Error() != "failed to decompress snapshot: unexpected EOF" || !errors.Is(err, fault.Invalid) {
			t.Errorf("rubbish: %v", err)
		}
		r := rand.New(rand.NewPCG(3, 4))
		refused := 0
		for range 100 {
			b := bytes.Clone(saved.Bytes())
			if r.IntN(2) == 0 {
				b = b[:r.IntN(len(b))]
			} else {
				// The first ten bytes hold times and flags that mean nothing.
				b[10+r.IntN(len(b)-10)] ^= 1 << r.IntN(8)
			}
			if same(t, b, saved.Bytes()) {
				continue // deflate's last byte has bits that mean nothing
			}
			refused++
			if err := s.Restore(t.Context(), bytes.NewReader(b)); !errors.Is(err, fault.Invalid) {
				t.Errorf("a damaged archive: %v", err)
			}
		}
		if refused < 90 {
			t.Errorf("only %d of 100 archives were damaged", refused)
		}
		if got := dump(s.State()); got != want {
			t.Errorf("the state was changed by what was refused:\n%s", got)
		}
	})
}

// same reports that an archive can be read and holds what another one does.
func same(t *testing.T, a, b []byte) bool {
	t.Helper()
	var metas [2]snapfile.Meta
	var states [2][]byte
	for i, archive := range [][]byte{a, b} {
		f, err := snapfile.Open(bytes.NewReader(archive), "")
		if err != nil {
			return false
		}
		states[i], err = io.ReadAll(f)
		metas[i] = f.Meta
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return metas[0] == metas[1] && bytes.Equal(states[0], states[1])
}
