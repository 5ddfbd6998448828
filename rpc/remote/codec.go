package remote

import (
	"bytes"
	"reflect"

	"github.com/fxamacker/cbor/v2"
	"google.golang.org/grpc/mem"
)

const (
	// maxNesting bounds the depth of a message; ours use some ten levels, and what
	// users nest in free-form fields is bounded by the store to less.
	maxNesting = 96
	// maxElements bounds one array or map: more than a message of maxMessage bytes holds of real items.
	maxElements = 1 << 17
)

// codec is the encoding of messages. It implements encoding.CodecV2 of gRPC.
type codec struct {
	enc    cbor.EncMode
	dec    cbor.DecMode
	shapes shapes
}

func newCodec() (*codec, error) {
	enc, err := cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode()
	if err != nil {
		return nil, err
	}
	dec, err := cbor.DecOptions{
		MaxNestedLevels:  maxNesting,
		MaxArrayElements: maxElements,
		MaxMapPairs:      maxElements,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		// The output of a check may be any bytes; whoever stores it judges it.
		UTF8:              cbor.UTF8DecodeInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		DefaultMapType:    reflect.TypeFor[map[string]any](), // as JSON has it
	}.DecMode()
	return &codec{enc: enc, dec: dec}, err
}

// Name is the subtype in application/grpc+cbor.
func (*codec) Name() string { return "cbor" }

// request is a message on its way out that tells whether it was on its way at all.
type request struct {
	in   any
	sent bool
	err  error // why it could not be encoded
}

// reply is where a message goes. It keeps to itself that the message was at fault:
// gRPC would answer that in its own words.
type reply struct {
	out any
	err error
}

// Marshal encodes a message.
func (c *codec) Marshal(v any) (mem.BufferSlice, error) {
	req, ok := v.(*request)
	if ok {
		v = req.in
	}
	b, err := c.enc.Marshal(v)
	if ok {
		req.sent, req.err = err == nil, err
	}
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal decodes a message, after a look at what it would cost.
func (c *codec) Unmarshal(data mem.BufferSlice, v any) error {
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	if r, ok := v.(*reply); ok {
		r.err = c.decode(buf.ReadOnlyData(), r.out)
		return nil
	}
	return c.decode(buf.ReadOnlyData(), v)
}

func (c *codec) decode(data []byte, v any) error {
	if raw, ok := v.(*cbor.RawMessage); ok { // it is handed on as it is; whoever decodes it checks it
		*raw = bytes.Clone(data)
		return nil
	}
	if err := c.shapes.check(data, reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	return c.dec.Unmarshal(data, v)
}
