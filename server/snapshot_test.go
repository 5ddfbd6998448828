package server_test

import (
	"bytes"
	"testing"
	"time"

	"consul.internal/internal/snapfile"
	"consul.internal/rpc"
)

// The first piece of a save tells the archive's index, since whoever serves it
// over HTTP needs it before the first byte.
func TestSaveTellsItsIndexFirst(t *testing.T) {
	s, st := open(t, true, time.Second)
	if _, err := rpc.Call(t.Context(), s, rpc.CatalogRegister, register("web", 80)); err != nil {
		t.Fatal(err)
	}
	for _, stale := range []bool{false, true} {
		near, far := rpc.Pipe(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			far.End(s.Converse(t.Context(), rpc.SnapshotSave.Name, far))
		}()
		if err := near.Send(&rpc.SnapshotAsk{Stale: stale}); err != nil {
			t.Fatal(err)
		}
		var (
			archive bytes.Buffer
			first   rpc.ReadMeta
			p       rpc.SnapshotPiece
		)
		for n := 0; !p.End; n++ {
			p = rpc.SnapshotPiece{}
			if err := near.Recv(&p); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				first = p.ReadMeta
			} else if p.Index != 0 {
				t.Errorf("piece %d tells index %d once more", n, p.Index)
			}
			archive.Write(p.Data)
		}
		<-ended
		meta, err := snapfile.Verify(&archive)
		if err != nil || meta.Index != first.Index || first.Index < st.State().Index() || !first.KnownLeader {
			t.Errorf("stale %v: the archive has index %d, told were %+v: %v", stale, meta.Index, first, err)
		}
	}
}
