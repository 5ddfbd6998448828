package saved

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// A saved file is a row of records: magic, length of the body, CRC32C of length
// and body (Castagnoli, RFC 3720 appendix B.4), body in CBOR. A later record of
// a name replaces an earlier one.
const (
	recordMagic = "cVw1" // so that what follows a damaged record is found again
	recordHead  = len(recordMagic) + 4 + 4
	maxRecord   = 64 << 20 // no name is larger than what a mirror may hold
	maxFile     = 256 << 20
)

// body is one name as it was last known, or that it is known no more.
type body struct {
	Datacenter string           `cbor:"d"`
	Kind       view.Kind        `cbor:"k"`
	Name       string           `cbor:"n"`
	Owner      string           `cbor:"o,omitempty"` // who learned it
	Gone       bool             `cbor:"g,omitempty"`
	Token      view.Token       `cbor:"t"`
	Changed    uint64           `cbor:"x,omitempty"`
	Learned    int64            `cbor:"l,omitempty"` // Unix nanoseconds
	Changes    []catalog.Change `cbor:"c,omitempty"`
}

func (b *body) key() key { return key{b.Datacenter, view.Subject{Kind: b.Kind, Name: b.Name}} }

func (b *body) record() *view.Record {
	return &view.Record{
		Datacenter: b.Datacenter, Subject: b.key().subject, Token: b.Token,
		Changed: b.Changed, Learned: time.Unix(0, b.Learned), Changes: b.Changes,
	}
}

// bodyOf is the body of a record; nil is a name that is gone.
func bodyOf(k key, r *view.Record) *body {
	b := &body{Datacenter: k.datacenter, Kind: k.subject.Kind, Name: k.subject.Name, Gone: r == nil}
	if r != nil {
		b.Token, b.Changed, b.Learned, b.Changes = r.Token, r.Changed, r.Learned.UnixNano(), r.Changes
	}
	return b
}

// codec is the encoding of the bodies.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newCodec() (codec, error) {
	enc, err := cbor.EncOptions{}.EncMode()
	if err != nil {
		return codec{}, err
	}
	dec, err := cbor.DecOptions{
		MaxNestedLevels: 64, // as much as the store takes
		DefaultMapType:  reflect.TypeFor[map[string]any](),
	}.DecMode()
	return codec{enc, dec}, err
}

// encode appends a record to b.
func (c codec) encode(b []byte, r *body) ([]byte, error) {
	content, err := c.enc.Marshal(r)
	if err != nil {
		return b, err
	}
	if len(content) > maxRecord {
		return b, fault.Newf(fault.Invalid, "%s is too large to be saved: %d bytes", r.key().subject, len(content))
	}
	b = append(b, recordMagic...)
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = binary.BigEndian.AppendUint32(b, checksum(b[start:], content))
	return append(b, content...), nil
}

func checksum(length, content []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(length, t), t, content)
}

// decode returns the first record of b and its size, or false if it is damaged.
// Spent is what looking at it has cost.
func (c codec) decode(b []byte) (r *body, size, spent int, ok bool) {
	if len(b) < recordHead || string(b[:len(recordMagic)]) != recordMagic {
		return nil, 0, 0, false
	}
	length := b[len(recordMagic) : len(recordMagic)+4]
	n := int(binary.BigEndian.Uint32(length))
	if n > maxRecord || n > len(b)-recordHead {
		return nil, 0, 0, false
	}
	content := b[recordHead : recordHead+n]
	if checksum(length, content) != binary.BigEndian.Uint32(b[len(recordMagic)+4:]) {
		return nil, 0, n, false
	}
	r = &body{}
	if c.dec.Unmarshal(content, r) != nil || !r.Gone && !r.record().Sound() {
		return nil, 0, n, false
	}
	return r, recordHead + n, n, true
}

// decodeAll calls visit with each whole record of a file, and returns how many
// places are damaged. What is damaged is passed over up to the next record.
func (c codec) decodeAll(b []byte, visit func(r *body, size int)) (damaged int) {
	// A file made to look like a beginning at every place costs no more than so
	// many readings of it.
	budget := 4 * len(b)
	broken := false
	for len(b) > 0 && budget >= 0 {
		r, size, spent, ok := c.decode(b)
		if budget -= spent; ok {
			visit(r, size)
			b, broken = b[size:], false
			continue
		}
		if !broken {
			damaged++
			broken = true
		}
		next := bytes.Index(b[1:], []byte(recordMagic))
		if next < 0 {
			break
		}
		b = b[1+next:]
	}
	return damaged
}
