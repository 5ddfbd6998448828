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
)

const (
	chunkSize = 64 << 10 // large enough for the CRC to cost nothing, small enough to hold
	maxChunk  = 1 << 20  // refused before it is allocated
)

// castagnoli is the CRC32C of RFC 3720, which processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ChunkWriter writes bytes as chunks
//
//	length uint32, CRC32C of the payload uint32, payload
//
// in little-endian order, ended by a chunk of length 0 and the SHA-256 of all
// payloads, so that whoever reads them checks each before he looks at a byte of it,
// and knows whether he has all.
type ChunkWriter struct {
	out *bufio.Writer // of whole chunks
	w   io.Writer
	sum hash.Hash
}

// NewChunkWriter writes to w.
func NewChunkWriter(w io.Writer) *ChunkWriter {
	c := &ChunkWriter{w: w, sum: sha256.New()}
	c.out = bufio.NewWriterSize(chunksTo{c}, chunkSize)
	return c
}

// Write implements io.Writer.
func (c *ChunkWriter) Write(p []byte) (int, error) { return c.out.Write(p) }

// Close ends the chunks; what they go to stays open.
func (c *ChunkWriter) Close() error {
	if err := c.out.Flush(); err != nil {
		return err
	}
	var head [8]byte
	if _, err := c.w.Write(head[:]); err != nil {
		return err
	}
	_, err := c.w.Write(c.sum.Sum(nil))
	return err
}

// chunksTo makes a chunk of each write, or some of a large one.
type chunksTo struct{ c *ChunkWriter }

func (t chunksTo) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		chunk := rest[:min(len(rest), chunkSize)]
		rest = rest[len(chunk):]
		if err := t.chunk(chunk); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (t chunksTo) chunk(p []byte) error {
	var head [8]byte
	binary.LittleEndian.PutUint32(head[0:], uint32(len(p)))
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(p, castagnoli))
	t.c.sum.Write(p)
	if _, err := t.c.w.Write(head[:]); err != nil {
		return err
	}
	_, err := t.c.w.Write(p)
	return err
}

// ChunkReader reads what a ChunkWriter wrote. It ends with io.EOF only if all of it
// was there, and nothing after it.
type ChunkReader struct {
	r    io.Reader
	sum  hash.Hash // nil = the bytes have been checked as a whole
	room []byte    // of the chunk that is read
	left []byte    // of room
	done bool
}

// NewChunkReader reads from r.
func NewChunkReader(r io.Reader) *ChunkReader {
	return &ChunkReader{r: bufio.NewReaderSize(r, chunkSize), sum: sha256.New()}
}

// NewCheckedChunkReader reads from r what a SHA-256 was found right for a moment ago:
// each chunk is checked, but the sum of all is not made a second time, which is a
// quarter of the work of reading a long state.
func NewCheckedChunkReader(r io.Reader) *ChunkReader {
	return &ChunkReader{r: bufio.NewReaderSize(r, chunkSize)}
}

// Read implements io.Reader.
func (c *ChunkReader) Read(p []byte) (int, error) {
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

func (c *ChunkReader) next() error {
	var head [8]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return cut(err)
	}
	size, sum := binary.LittleEndian.Uint32(head[0:]), binary.LittleEndian.Uint32(head[4:])
	if size == 0 {
		return c.end(sum)
	}
	if size > maxChunk {
		return fmt.Errorf("a chunk claims %d bytes", size)
	}
	if uint32(cap(c.room)) < size {
		c.room = make([]byte, size)
	}
	chunk := c.room[:size]
	if _, err := io.ReadFull(c.r, chunk); err != nil {
		return cut(err)
	}
	if crc32.Checksum(chunk, castagnoli) != sum {
		return errors.New("a chunk's checksum is wrong")
	}
	if c.sum != nil {
		c.sum.Write(chunk)
	}
	c.left = chunk
	return nil
}

func (c *ChunkReader) end(crc uint32) error {
	var sum [sha256.Size]byte
	if _, err := io.ReadFull(c.r, sum[:]); err != nil {
		return cut(err)
	}
	if crc != 0 || c.sum != nil && !bytes.Equal(sum[:], c.sum.Sum(nil)) {
		return errors.New("its checksum is wrong")
	}
	if n, err := c.r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return or(err, errTail)
	}
	c.done = true
	return nil
}

// cut makes an early end an error of its own: decoders take io.EOF for a good end.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it is cut short: %w", io.ErrUnexpectedEOF)
	}
	return err
}
