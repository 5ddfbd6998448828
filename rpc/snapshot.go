package rpc

// Conversations about snapshots of the servers' whole state.
var (
	// SnapshotSave begins with one ask; the archive comes in pieces.
	SnapshotSave = Stream[SnapshotAsk, SnapshotPiece]{Name: "Snapshot.Save"}
	// SnapshotRestore begins with one ask, then the archive goes in pieces; one
	// piece without content comes back when the state is in place.
	SnapshotRestore = Stream[SnapshotAsk, SnapshotPiece]{Name: "Snapshot.Restore"}
)

// SnapshotAsk is what whoever wants a snapshot, or brings one, says.
type SnapshotAsk struct {
	Target
	Stale bool // any server may save its own state
	SnapshotPiece
}

// SnapshotPiece is some of an archive.
type SnapshotPiece struct {
	ReadMeta        // of a save: in the first piece
	Data     []byte // at most SnapshotPieceSize
	End      bool   // nothing follows
}

// SnapshotPieceSize keeps a piece far below what one message may be.
const SnapshotPieceSize = 256 << 10
