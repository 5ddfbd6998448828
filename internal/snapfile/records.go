package snapfile

import (
	"errors"
	"io"
	"maps"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/internal/fault"
)

// The bytes of a state are chunks (see ChunkWriter). Their payloads joined are a
// CBOR sequence (RFC 8742): a header, the records table by table, and a trailer
// with the number of records of each table.

// Header begins a state.
type Header struct {
	Magic     string
	Format    int
	Level     uint16
	ClusterID string
	Epoch     uint64
	Index     uint64 // of the last entry applied
}

// Record is one record of a state.
type Record struct {
	Table string          `cbor:"t,omitempty"`
	Raw   cbor.RawMessage `cbor:"r,omitempty"`
	// Counts is the number of records by table; only the last record, which has no
	// table, carries it.
	Counts map[string]uint64 `cbor:"n,omitempty"`
}

const (
	// StateMagic and StateFormat stand in the header of what this version writes.
	StateMagic  = "consul-state"
	StateFormat = 1
)

// Records reads a state to its end and checks it; visit gets one record after
// the other, each of whose bytes have been checked.
func Records(state io.Reader, visit func(Record) error) (head Header, err error) {
	c := NewChunkReader(state)
	dec := cbor.NewDecoder(c)
	if err := dec.Decode(&head); err != nil {
		return head, fault.Newf(fault.Invalid, "state of the snapshot: header: %w", short(err))
	}
	if head.Magic != StateMagic || head.Format != StateFormat {
		return head, fault.Newf(fault.Invalid, "state of the snapshot: it is not of this program, or of a newer version (%q, format %d)", head.Magic, head.Format)
	}
	counts := map[string]uint64{}
	for {
		var rec Record
		if err := dec.Decode(&rec); err != nil {
			return head, fault.Newf(fault.Invalid, "state of the snapshot: %w", short(err))
		}
		if rec.Table == "" {
			if !maps.Equal(rec.Counts, counts) {
				return head, fault.Newf(fault.Invalid, "state of the snapshot: it holds %v records where there should be %v", counts, rec.Counts)
			}
			break
		}
		counts[rec.Table]++
		if err := visit(rec); err != nil {
			return head, err
		}
	}
	if n, err := io.Copy(io.Discard, dec.Buffered()); n != 0 || err != nil {
		return head, fault.Newf(fault.Invalid, "state of the snapshot: %w", or(err, errTail))
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return head, fault.Newf(fault.Invalid, "state of the snapshot: %w", or(err, errTail))
	}
	return head, nil
}
