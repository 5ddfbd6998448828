package snapfile

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

	"consul.internal/internal/fault"
)

// The bytes of a state are chunks
//
//	length uint32, CRC32C of the payload uint32, payload
//
// in little-endian order, ended by a chunk of length 0 and the SHA-256 of all
// payloads. The payloads joined are a CBOR sequence (RFC 8742): a header, the
// records table by table, and a trailer with the number of records of each table.

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
	stateMagic  = "consul-state"
	stateFormat = 1
	readSize    = 64 << 10 // what one chunk has, commonly
	maxChunk    = 1 << 20  // refused before it is allocated
)

// Records reads a state to its end and checks it; visit gets one record after
// the other, each of whose bytes have been checked.
func Records(state io.Reader, visit func(Record) error) (head Header, err error) {
	c := &chunks{r: bufio.NewReaderSize(state, readSize), sum: sha256.New(), crc: crc32.MakeTable(crc32.Castagnoli)}
	dec := cbor.NewDecoder(c)
	if err := dec.Decode(&head); err != nil {
		return head, fault.Newf(fault.Invalid, "state of the snapshot: header: %w", short(err))
	}
	if head.Magic != stateMagic || head.Format != stateFormat {
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

// chunks reads payloads, each checked before it is handed on.
type chunks struct {
	r    io.Reader
	sum  hash.Hash
	crc  *crc32.Table
	left []byte
	done bool
}

func (c *chunks) Read(p []byte) (int, error) {
	for len(c.left) == 0 {
		if c.done {
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

func (c *chunks) next() error {
	var head [8]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return short(err)
	}
	size, sum := binary.LittleEndian.Uint32(head[0:]), binary.LittleEndian.Uint32(head[4:])
	if size == 0 {
		return c.end(sum)
	}
	if size > maxChunk {
		return fmt.Errorf("a chunk claims %d bytes", size)
	}
	chunk := make([]byte, size)
	if _, err := io.ReadFull(c.r, chunk); err != nil {
		return short(err)
	}
	if crc32.Checksum(chunk, c.crc) != sum {
		return errors.New("a chunk's checksum is wrong")
	}
	c.sum.Write(chunk)
	c.left = chunk
	return nil
}

func (c *chunks) end(crc uint32) error {
	var sum [sha256.Size]byte
	if _, err := io.ReadFull(c.r, sum[:]); err != nil {
		return short(err)
	}
	if crc != 0 || !bytes.Equal(sum[:], c.sum.Sum(nil)) {
		return errors.New("its checksum is wrong")
	}
	if n, err := c.r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return or(err, errTail)
	}
	c.done = true
	return nil
}
