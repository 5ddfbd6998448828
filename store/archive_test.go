package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/internal/fault"
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
		index, err := s.Save(t.Context(), &saved)
		if err != nil || index == 0 {
			t.Fatal(index, err)
		}
		meta, tables, err := Inspect(bytes.NewReader(saved.Bytes()))
		if err != nil || meta.Index != index || meta.Version != 1 {
			t.Fatalf("inspect: %+v %v %v", meta, tables, err)
		}
		if got := fmt.Sprint(tables); !strings.Contains(got, "{services 10 ") {
			t.Errorf("tables %s", got)
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

// TestRestoreRefuses: nothing that is not whole is used.
func TestRestoreRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, testConfig(""))
		ready(t, s)
		register(t, s, 1)
		var saved bytes.Buffer
		if _, err := s.Save(t.Context(), &saved); err != nil {
			t.Fatal(err)
		}
		want := dump(s.State())
		if err := s.Restore(t.Context(), strings.NewReader("rubbish")); err == nil || err.Error() != "failed to decompress snapshot: unexpected EOF" || !errors.Is(err, fault.Invalid) {
			t.Errorf("rubbish: %v", err)
		}
		r := rand.New(rand.NewPCG(3, 4))
		for range 100 {
			b := bytes.Clone(saved.Bytes())
			if r.IntN(2) == 0 {
				b = b[:r.IntN(len(b))]
			} else {
				// The first ten bytes hold times and flags that mean nothing.
				b[10+r.IntN(len(b)-10)] ^= 1 << r.IntN(8)
			}
			if err := s.Restore(t.Context(), bytes.NewReader(b)); err == nil {
				t.Error("a damaged archive was restored")
			}
			if _, _, err := Inspect(bytes.NewReader(b)); err == nil {
				t.Error("a damaged archive is shown as good")
			}
		}
		if got := dump(s.State()); got != want {
			t.Errorf("the state was changed by what was refused:\n%s", got)
		}
	})
}
