package snapfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// stateOf makes a state's bytes out of values.
func stateOf(t testing.TB, chunk int, values ...any) []byte {
	t.Helper()
	var payload, b bytes.Buffer
	for _, v := range values {
		raw, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		payload.Write(raw)
	}
	sum := sha256.Sum256(payload.Bytes())
	for payload.Len() > 0 {
		p := payload.Next(chunk)
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(p))))
		b.Write(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli))))
		b.Write(p)
	}
	b.Write(make([]byte, 8))
	b.Write(sum[:])
	return b.Bytes()
}

func someState(t testing.TB) []byte {
	rec := func(table, key string) Record {
		raw, err := cbor.Marshal(map[string]string{"Key": key})
		if err != nil {
			t.Fatal(err)
		}
		return Record{Table: table, Raw: raw}
	}
	return stateOf(t, 20, Header{Magic: StateMagic, Format: StateFormat, ClusterID: "c", Index: 9},
		rec("nodes", "a"), rec("kv", "b"), rec("kv", "c"), Record{Counts: map[string]uint64{"nodes": 1, "kv": 2}})
}

func TestRecords(t *testing.T) {
	raw := someState(t)
	var tables []string
	head, err := Records(bytes.NewReader(raw), func(r Record) error {
		tables = append(tables, r.Table)
		return nil
	})
	if err != nil || head.Index != 9 || head.ClusterID != "c" || strings.Join(tables, " ") != "nodes kv kv" {
		t.Fatalf("%+v %q %v", head, tables, err)
	}
	none := func(Record) error { return nil }
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := Records(bytes.NewReader(bad), none); err == nil {
			t.Errorf("byte %d changed and nobody saw it", i)
		}
		if _, err := Records(bytes.NewReader(raw[:i]), none); err == nil {
			t.Errorf("cut at %d and nobody saw it", i)
		}
	}
	if _, err := Records(bytes.NewReader(append(bytes.Clone(raw), 1)), none); err == nil {
		t.Error("a byte after the end was taken")
	}
	stop := errors.New("stop")
	if _, err := Records(bytes.NewReader(raw), func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	head2 := Header{Magic: StateMagic, Format: StateFormat}
	for name, bad := range map[string][]byte{
		"another program": stateOf(t, 99, Header{Magic: "x", Format: StateFormat}),
		"newer":           stateOf(t, 99, Header{Magic: StateMagic, Format: 9}),
		"counts":          stateOf(t, 99, head2, Record{Counts: map[string]uint64{"kv": 1}}),
		"no trailer":      stateOf(t, 99, head2),
		"after trailer":   stateOf(t, 99, head2, Record{}, Record{}),
	} {
		if _, err := Records(bytes.NewReader(bad), none); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
