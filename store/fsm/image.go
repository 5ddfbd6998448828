package fsm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"maps"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/store/state"
)

// image is the state as bytes, for snapshots. The bytes are chunks
//
//	length uint32, CRC32C of the payload uint32, payload
//
// in little-endian order, ended by a chunk of length 0 and the SHA-256 of all
// payloads. The payloads joined are a CBOR sequence (RFC 8742): a header, the
// records table by table, and a trailer with the number of records of each table.
// Each chunk is checked before a byte of it is decoded, and the state is
// replaced only after the last.
type image struct{ codec codec }

type imageHeader struct {
	Magic     string
	Format    int
	Level     uint16 // of the newest command that may have gone into it
	ClusterID string
	Epoch     uint64
	Index     uint64 // of the last entry applied
}

// imageRecord is one record, or, with no table, the trailer.
type imageRecord struct {
	Table  string            `cbor:"t,omitempty"`
	Record cbor.RawMessage   `cbor:"r,omitempty"`
	Counts map[string]uint64 `cbor:"n,omitempty"`
}

const (
	imageMagic  = "consul-state"
	imageFormat = 1
	chunkSize   = 64 << 10 // large enough for the CRC to cost nothing, small enough to hold
	maxChunk    = 1 << 20  // refused before it is allocated
)

// castagnoli is the CRC32C of RFC 3720, which processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// write writes a snapshot of the state after the entry at index.
func (im image) write(w io.Writer, snap *state.Snapshot, index uint64) error {
	c := newChunkWriter(w)
	out := bufio.NewWriterSize(c, chunkSize)
	enc := im.codec.enc.NewEncoder(out)
	cluster := snap.Cluster()
	err := enc.Encode(imageHeader{
		Magic: imageMagic, Format: imageFormat, Level: Level,
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
		if err := enc.Encode(imageRecord{Table: table, Record: raw}); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
		counts[table]++
	}
	if err := errors.Join(enc.Encode(imageRecord{Counts: counts}), out.Flush(), c.finish()); err != nil {
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
	c := &chunkReader{r: bufio.NewReaderSize(r, chunkSize), sum: sha256.New()}
	dec := im.codec.dec.NewDecoder(c)
	var head imageHeader
	if err := dec.Decode(&head); err != nil {
		return 0, fmt.Errorf("header: %w", err)
	}
	switch {
	case head.Magic != imageMagic:
		return 0, errors.New("it is not a snapshot of this program")
	case head.Format != imageFormat, head.Level > Level:
		return 0, fmt.Errorf("it is of a newer version (format %d, level %d; known are %d, %d)", head.Format, head.Level, imageFormat, Level)
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

// recordPart records are decoded at once, as readPart entries of the log are.
const recordPart = 256

// readRecords reads all records and the trailer. The records are decoded by all
// processors, ahead of the one that puts them in, in order.
func (im image) readRecords(dec *cbor.Decoder, restore *state.Restore) error {
	type part struct {
		raw     []imageRecord
		records []any
		err     error // behind the records
	}
	ended := errors.New("the trailer was read")
	parts := func(yield func(*part) bool) {
		for {
			p := &part{raw: make([]imageRecord, 0, recordPart)}
			for len(p.raw) < recordPart && p.err == nil {
				var rec imageRecord
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
				if err = im.codec.dec.Unmarshal(rec.Record, into); err != nil {
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

type chunkWriter struct {
	w   io.Writer
	sum hash.Hash
}

func newChunkWriter(w io.Writer) *chunkWriter { return &chunkWriter{w: w, sum: sha256.New()} }

func (c *chunkWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		chunk := rest[:min(len(rest), chunkSize)]
		rest = rest[len(chunk):]
		if err := c.chunk(chunk); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (c *chunkWriter) chunk(p []byte) error {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[0:], uint32(len(p)))
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(p, castagnoli))
	c.sum.Write(p)
	if _, err := c.w.Write(head[:]); err != nil {
		return err
	}
	_, err := c.w.Write(p)
	return err
}

func (c *chunkWriter) finish() error {
	var head [8]byte
	if _, err := c.w.Write(head[:]); err != nil {
		return err
	}
	_, err := c.w.Write(c.sum.Sum(nil))
	return err
}

// chunkReader reads payloads, each checked before it is handed on.
type chunkReader struct {
	r     io.Reader
	sum   hash.Hash
	left  []byte
	ended bool
}

func (c *chunkReader) Read(p []byte) (int, error) {
	for len(c.left) == 0 {
		if c.ended {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (c *chunkReader) next() error {
	var head [8]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return short(err)
	}
	size, sum := binary.LittleEndian.Uint32(head[0:]), binary.LittleEndian.Uint32(head[4:])
	if size == 0 {
		return c.end()
	}
	if size > maxChunk {
		return fmt.Errorf("a chunk claims %d bytes", size)
	}
	chunk := make([]byte, size)
	if _, err := io.ReadFull(c.r, chunk); err != nil {
		return short(err)
	}
	if crc32.Checksum(chunk, castagnoli) != sum {
		return errors.New("a chunk's checksum is wrong")
	}
	c.sum.Write(chunk)
	c.left = chunk
	return nil
}

func (c *chunkReader) end() error {
	var sum [sha256.Size]byte
	if _, err := io.ReadFull(c.r, sum[:]); err != nil {
		return short(err)
	}
	if !bytes.Equal(sum[:], c.sum.Sum(nil)) {
		return errors.New("its checksum is wrong")
	}
	if n, err := c.r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return errors.New("bytes follow its end")
	}
	c.ended = true
	return nil
}

// short makes an early end an error of its own: decoders take io.EOF for a good end.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it is cut short: %w", io.ErrUnexpectedEOF)
	}
	return err
}
