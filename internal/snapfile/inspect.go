package snapfile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Tally is how much of something a snapshot holds.
type Tally struct {
	Name  string
	Sum   int // bytes
	Count int
}

// Inspection is what a snapshot holds: records by type and, where asked for, keys
// by group, the largest first.
type Inspection struct {
	Meta        Meta
	Stats       []Tally
	StatsKV     []Tally `json:",omitempty"`
	TotalSize   int
	TotalSizeKV int `json:",omitempty"`
}

// Keys says which keys of the key-value store are counted, and how.
type Keys struct {
	Depth  int    // how many parts of a key, divided by slashes, make a group
	Prefix string // with which they begin
}

// typeKV is the type of entries of the key-value store.
const typeKV = "KVS"

// recordType is the name under which the records of a table are counted; those of
// tables that it does not know are counted under the table's own.
func recordType(table string) string {
	switch table {
	case "nodes", "services", "checks", "names":
		return "Register"
	case "indexes":
		return "Index"
	case "queries":
		return "PreparedQuery"
	case "coordinates":
		return "CoordinateBatchUpdate"
	case "keys":
		return typeKV
	case "sessions":
		return "Session"
	case "tombstones":
		return "Tombstone"
	}
	return table
}

// read opens an archive, or a state.bin out of one with its meta.json beside it.
func read(f *os.File) (meta Meta, state io.Reader, done func() error, err error) {
	if filepath.Base(f.Name()) == stateName {
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(f.Name()), metaName))
		if err == nil {
			err = json.Unmarshal(raw, &meta)
		}
		if err != nil {
			return meta, nil, nil, fmt.Errorf("%s beside %s: %w", metaName, stateName, err)
		}
		return meta, f, func() error { return nil }, nil
	}
	snap, err := Open(f, "")
	if err != nil {
		return meta, nil, nil, err
	}
	return snap.Meta, snap, snap.Close, nil
}

// Inspect checks a file and tells what it holds. One that is called state.bin is
// taken for one out of an archive, with its meta.json beside it. keys may be nil.
func Inspect(f *os.File, keys *Keys) (*Inspection, error) {
	meta, state, done, err := read(f)
	if err != nil {
		return nil, err
	}
	defer func() { _ = done() }() // it is thrown away
	in := &Inspection{Meta: meta}
	types, groups := tallies{}, tallies{}
	_, err = Records(state, func(r Record) error {
		name := recordType(r.Table)
		types.add(name, len(r.Raw))
		if keys == nil || name != typeKV {
			return nil
		}
		var entry struct{ Key string }
		if err := cbor.Unmarshal(r.Raw, &entry); err != nil {
			return damaged("an entry of the key-value store cannot be read: %w", err)
		}
		if strings.HasPrefix(entry.Key, keys.Prefix) {
			groups.add(group(entry.Key, keys.Depth), len(r.Raw))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	in.Stats, in.TotalSize = types.list()
	in.StatsKV, in.TotalSizeKV = groups.list()
	return in, nil
}

// group is the first parts of a key.
func group(key string, depth int) string {
	parts := strings.Split(key, "/")
	return strings.Join(parts[:min(max(depth, 1), len(parts))], "/")
}

type tallies map[string]*Tally

func (t tallies) add(name string, size int) {
	x := t[name]
	if x == nil {
		x = &Tally{Name: name}
		t[name] = x
	}
	x.Count++
	x.Sum += size
}

// list gives them largest first, and their sum.
func (t tallies) list() ([]Tally, int) {
	out, total := []Tally{}, 0
	for _, x := range t {
		out = append(out, *x)
		total += x.Sum
	}
	slices.SortFunc(out, func(x, y Tally) int { return cmp.Or(cmp.Compare(y.Sum, x.Sum), strings.Compare(x.Name, y.Name)) })
	return out, total
}
