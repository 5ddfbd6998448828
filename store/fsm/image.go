package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/internal/snapfile"
	"consul.internal/store/state"
)

// image is the state as bytes, for snapshots, in the form that snapfile.Records
// reads: chunks with a CBOR sequence (RFC 8742) of a header, the records table by
// table, and a trailer with the number of records of each table. Each chunk is checked before a byte of it is decoded, and the state is
// replaced only after the last.
type image struct{ codec codec }

// write writes a snapshot of the state after the entry at index.
func (im image) write(w io.Writer, snap *state.Snapshot, index uint64) error {
	out := snapfile.NewChunkWriter(w)
	enc := im.codec.enc.NewEncoder(out)
	cluster := snap.Cluster()
	err := enc.Encode(snapfile.Header{
		Magic: snapfile.StateMagic, Format: snapfile.StateFormat, Level: Level,
		ClusterID: cluster.ID, Epoch: cluster.Epoch, Index: index,
	})
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	counts := map[string]uint64{}
	for table, rec := range snap.Records() {
		raw, err := im.codec.enc.Marshal(rec)
		if err != nil {
			return fmt.Errorf("write snapshot: table %s: %w", table, err)
		}
		if err := enc.Encode(snapfile.Record{Table: table, Raw: raw}); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
		counts[table]++
	}
	if err := cmp.Or(enc.Encode(snapfile.Record{Counts: counts}), out.Close()); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// read puts the state of a snapshot in the place of st's, and returns its index.
func (im image) read(r io.Reader, st *state.State) (index uint64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("snapshot cannot be used: %w", err)
		}
	}()
	c := snapfile.NewChunkReader(r)
	if _, ok := r.(Checked); ok {
		c = snapfile.NewCheckedChunkReader(r)
	}
	dec := im.codec.dec.NewDecoder(c)
	var head snapfile.Header
	if err := dec.Decode(&head); err != nil {
		return 0, fmt.Errorf("header: %w", err)
	}
	switch {
	case head.Magic != snapfile.StateMagic:
		return 0, errors.New("it is not a snapshot of this program")
	case head.Format != snapfile.StateFormat, head.Level > Level:
		return 0, fmt.Errorf("it is of a newer version (format %d, level %d; known are %d, %d)", head.Format, head.Level, snapfile.StateFormat, Level)
	}
	restore := st.Restore()
	if err := im.readRecords(dec, restore); err != nil {
		return 0, err
	}
	if n, err := io.Copy(io.Discard, dec.Buffered()); n != 0 || err != nil {
		return 0, errors.Join(errors.New("bytes follow its trailer"), err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 {
		return 0, errors.New("bytes follow its trailer")
	} else if !errors.Is(err, io.EOF) {
		return 0, err
	}
	if err := restore.Commit(head.Index); err != nil {
		return 0, err
	}
	return head.Index, nil
}

// Checked marks a reader all of whose bytes were found right, by a sum over all of
// them, before it was made.
type Checked interface{ Checked() }

// recordPart records are decoded at once, as readPart entries of the log are.
const recordPart = 256

// readRecords reads all records and the trailer. The records are decoded by all
// processors, ahead of the one that puts them in, in order.
func (im image) readRecords(dec *cbor.Decoder, restore *state.Restore) error {
	type part struct {
		raw     []snapfile.Record
		records []any
		err     error // behind the records
	}
	ended := errors.New("the trailer was read")
	parts := func(yield func(*part) bool) {
		for {
			p := &part{raw: make([]snapfile.Record, 0, recordPart)}
			for len(p.raw) < recordPart && p.err == nil {
				var rec snapfile.Record
				if p.err = dec.Decode(&rec); errors.Is(p.err, io.EOF) {
					p.err = io.ErrUnexpectedEOF
				} else if p.err == nil {
					p.raw = append(p.raw, rec)
					if rec.Table == "" {
						p.err = ended
					}
				}
			}
			if !yield(p) || p.err != nil {
				return
			}
		}
	}
	decode := func(p *part) *part {
		for i, rec := range p.raw {
			if rec.Table == "" {
				break
			}
			into, err := restore.Record(rec.Table)
			if err == nil {
				if err = im.codec.dec.Unmarshal(rec.Raw, into); err != nil {
					err = fmt.Errorf("table %s: %w", rec.Table, err)
				}
			}
			if err != nil {
				p.raw, p.err = p.raw[:i], err
				break
			}
			p.records = append(p.records, into)
		}
		return p
	}
	counts := map[string]uint64{}
	return inOrder(parts, decode, func(p *part) error {
		for i, rec := range p.raw {
			if rec.Table == "" {
				if !maps.Equal(rec.Counts, counts) {
					return fmt.Errorf("it holds %v records where there should be %v", counts, rec.Counts)
				}
				return nil
			}
			counts[rec.Table]++
			if err := restore.Add(rec.Table, p.records[i]); err != nil {
				return err
			}
		}
		return p.err
	})
}
