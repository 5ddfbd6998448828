package snapfile

import (
	"os"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// typeHeader is the type of what Decode hands on first.
const typeHeader = "SnapshotHeader"

// Decode checks a file as Inspect does, and hands on what it holds, in a form that
// encoding/json writes: the meta first, then one record after the other with its
// type.
func Decode(f *os.File, visit func(kind string, data any) error) error {
	meta, state, done, err := read(f)
	if err != nil {
		return err
	}
	defer func() { _ = done() }() // it is thrown away
	opts := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}
	mode, err := opts.DecMode()
	if err != nil {
		return err
	}
	if err := visit(typeHeader, meta); err != nil {
		return err
	}
	_, err = Records(state, func(r Record) error {
		var data any
		if err := mode.Unmarshal(r.Raw, &data); err != nil {
			return damaged("a record of type %s cannot be read: %w", recordType(r.Table), err)
		}
		return visit(recordType(r.Table), data)
	})
	return err
}
