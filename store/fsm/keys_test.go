package fsm

import (
	"bytes"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/kv"
	"consul.internal/store/state"
)

// TestPlainCommands: the commands on keys are not read back before they are
// proposed. So each that a client can make must be readable.
func TestPlainCommands(t *testing.T) {
	f := newFSM(t, state.New(nil))
	all := string([]byte{0, 0xff, 0xfe, 'a', 0xc3, 0x28, '\n'})
	for _, op := range []*kv.KeyOp{
		{Verb: kv.Set, Key: "k", Value: []byte("v")},
		{Verb: kv.Set, Key: all, Value: []byte(all), Flags: 1<<64 - 1, Index: 1<<64 - 1, Session: all},
		{Verb: kv.Set, Key: "empty", Value: []byte{}},
		{Verb: kv.DeleteTree},
		{Verb: kv.Set, Key: "large", Value: bytes.Repeat([]byte{0xff}, 512<<10)},
	} {
		cmd, err := f.Encode(TypeKey, op, Level)
		if err != nil {
			t.Fatalf("%q: %v", op.Key, err)
		}
		tx := f.state.Begin(1)
		do, err := f.decode(cmd)
		if err != nil {
			t.Fatalf("%q: %v", op.Key, err)
		}
		if _, err := do(tx); err != nil {
			t.Fatalf("%q: %v", op.Key, err)
		}
		if op.Verb == kv.Set {
			if e := written(t, tx, op.Key); e == nil || !bytes.Equal(e.Value, op.Value) || e.Flags != op.Flags {
				t.Errorf("%q: %v", op.Key, e)
			}
		}
		tx.Abort()
	}
}

// TestEnvelope: one encoding of the whole makes the bytes that logs have had from
// the beginning: those of the body within those of the envelope.
func TestEnvelope(t *testing.T) {
	f := newFSM(t, state.New(nil))
	for typ, body := range map[Type]any{
		TypeKey:      &kv.KeyOp{Verb: kv.CAS, Key: "k", Value: []byte("v"), Index: 7},
		TypeRegister: registration(1),
	} {
		raw, err := f.codec.enc.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.codec.enc.Marshal(envelope[cbor.RawMessage]{Type: typ, Level: FirstLevel, Body: raw})
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Encode(typ, body, Level)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("type %d: %x, was %x", typ, got, want)
		}
	}
}

// BenchmarkKeyCommand measures a write of 512 bytes without the log: encoded,
// decoded and applied.
func BenchmarkKeyCommand(b *testing.B) {
	f := newFSM(b, state.New(nil))
	op := &kv.KeyOp{Verb: kv.Set, Key: "service/web/leader", Value: bytes.Repeat([]byte{'x'}, 512)}
	b.ReportAllocs()
	index := uint64(0)
	for b.Loop() {
		cmd, err := f.Encode(TypeKey, op, Level)
		if err != nil {
			b.Fatal(err)
		}
		do, err := f.decode(cmd)
		if err != nil {
			b.Fatal(err)
		}
		index++
		tx := f.state.Begin(index)
		op.Value[0] = byte(index) // else nothing changes
		if _, err := do(tx); err != nil {
			b.Fatal(err)
		}
		tx.Commit()
	}
}

// written is a key as a transaction sees it.
func written(t *testing.T, tx *state.Txn, key string) *kv.Entry {
	t.Helper()
	out, err := state.Operations{Txn: tx}.Apply([]kv.Op{{KV: &kv.KeyOp{Verb: kv.Get, Key: key}}})
	if err != nil || len(out) != 1 {
		t.Fatalf("%q: %v, %v", key, out, err)
	}
	return out[0].KV
}
