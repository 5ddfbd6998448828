package remote

import (
	"bytes"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"consul.internal/rpc"
	"consul.internal/view"
	"github.com/fxamacker/cbor/v2"
)

// What a message of n bytes may make its receiver allocate.
const (
	allocPerByte = 64
	allocFree    = 1 << 20
)

// FuzzDecode: no message makes its receiver panic or allocate out of proportion,
// whatever type it is taken for.
func FuzzDecode(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	types := targets()
	for i, in := range hostile(f, []string{"Nodes", "Instances", "Checks", "Services", "Tags", "Servers", "Usage", "Pools", "NodeMeta", "Changes", "Added"}) {
		f.Add(uint8(i), in)
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		into := types[int(kind)%len(types)]
		if got, most := allocated(c, data, into), uint64(len(data))*allocPerByte+allocFree; got > most {
			t.Errorf("%d bytes as %v allocated %d, at most %d", len(data), into, got, most)
		}
	})
}

// targets are the types of all messages, in a fixed order.
func targets() []reflect.Type {
	seen, types := map[reflect.Type]bool{}, []reflect.Type{}
	all := rpc.All()
	for _, name := range sorted(all) {
		for _, v := range []any{all[name].NewIn(), all[name].NewOut()} {
			if t := reflect.TypeOf(v).Elem(); !seen[t] {
				seen[t] = true
				types = append(types, t)
			}
		}
	}
	return append(types, reflect.TypeFor[view.Ask](), reflect.TypeFor[view.Event](), reflect.TypeFor[any]())
}

// hostile messages: many of the smallest items, in the fields where they cost most.
func hostile(t testing.TB, fields []string) [][]byte {
	const many = 5000 // enough for any breach to show past what is free
	var all [][]byte
	for _, item := range []string{"\xf6", "\xa0", "\x80", "\x60", "\x01", "\x81\xf6", "\xa1\x60\xf6", "\x82\xa0\xa0", "\x9b\x00\x00\x00\x00\xff\xff\xff\xff"} {
		array := append([]byte{0x99, many >> 8, many & 0xff}, bytes.Repeat([]byte(item), many)...)
		pairs := append([]byte{0xb9, many >> 8, many & 0xff}, bytes.Repeat([]byte("\x60"+item), many)...)
		all = append(all, array, pairs)
		for _, field := range fields {
			name, err := cbor.Marshal(field)
			if err != nil {
				t.Fatal(err)
			}
			for _, body := range [][]byte{array, pairs} {
				all = append(all, slices.Concat([]byte{0xa1}, name, body))
			}
		}
	}
	return append(all, []byte{}, []byte{0xff}, []byte{0x9f}, []byte{0xbf, 0x60}, []byte{0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0x81}, 100_000), bytes.Repeat([]byte{0xa1}, 100_000))
}

// allocated is what decoding takes.
func allocated(c *codec, data []byte, into reflect.Type) uint64 {
	c.shapes.of(into) // once a process, not once a message
	v := reflect.New(into).Interface()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = c.decode(data, v) // most of it is refused; what counts is the price
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
