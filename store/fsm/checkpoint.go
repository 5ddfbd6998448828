package fsm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/store/state"
)

// Checkpoint is the body of TypeCheckpoint. It changes nothing: the servers take
// the sum of their states right after it, so that they can be compared.
//
// With a sum it is a verdict instead: a majority of the voters had that one at an
// earlier checkpoint. Who had another one there must not go on with its state.
type Checkpoint struct {
	At      uint64 `cbor:",omitempty"` // index of the earlier checkpoint
	Sum     string `cbor:",omitempty"` // of the state there
	Version string `cbor:",omitempty"` // of the program whose sums were compared
}

// Sum is what a state comes to. Equal states of one version of the program have
// equal sums, whether they came from entries, from a replay or from a snapshot.
type Sum struct {
	Index  uint64            // of the checkpoint
	Whole  string            // of all tables
	Tables map[string]string // by table, to tell where states differ
}

// OnCheckpoint has checkpoint called with each checkpoint that is applied while
// raft runs, and the state right after it. It must be quick. To be called before
// anything is applied.
func (f *FSM) OnCheckpoint(checkpoint func(index uint64, c Checkpoint, snap *state.Snapshot)) {
	f.checkpoint = checkpoint
}

// passed tells of a checkpoint that has just been applied.
func (f *FSM) passed(index uint64, value any) {
	if c, ok := value.(Checkpoint); ok && f.checkpoint != nil {
		f.checkpoint(index, c, f.state.Snapshot())
	}
}

// newSumEncoding is that of snapshots, but for empty lists and maps, which look the
// same whether they are there or not: a restored record may share one with a
// record that has the other.
func newSumEncoding() (cbor.EncMode, error) {
	return cbor.EncOptions{Sort: cbor.SortBytewiseLexical, NilContainers: cbor.NilContainerAsEmpty}.EncMode()
}

// sumLook is after how many records it is looked whether the sum is still wanted.
const sumLook = 1024

// Sum walks a state, all records of all tables, and sums them up. It may run
// beside anything else: the snapshot stays as it is.
func (f *FSM) Sum(ctx context.Context, index uint64, snap *state.Snapshot) (Sum, error) {
	sum := Sum{Index: index, Tables: map[string]string{}}
	all := sha256.New()
	var of hash.Hash
	var enc *cbor.Encoder
	table, n := "", 0
	end := func() {
		if of == nil {
			return
		}
		s := of.Sum(nil)
		sum.Tables[table] = hex.EncodeToString(s)
		fmt.Fprintf(all, "%s\x00%x\n", table, s)
	}
	for name, rec := range snap.Records() {
		if name != table {
			end()
			table, of = name, sha256.New()
			enc = f.sums.NewEncoder(of)
		}
		if err := enc.Encode(rec); err != nil {
			return Sum{}, fmt.Errorf("sum of table %s: %w", table, err)
		}
		if n++; n%sumLook == 0 && ctx.Err() != nil {
			return Sum{}, context.Cause(ctx)
		}
	}
	end()
	sum.Whole = hex.EncodeToString(all.Sum(nil))
	return sum, nil
}
