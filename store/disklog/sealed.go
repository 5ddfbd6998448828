package disklog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"slices"

	"consul.internal/internal/durable"
)

// Sealed files are small documents that are replaced whole: a line with what the
// file is (magic) and the CRC32C of all that follows, then JSON.

func seal(magic string, body []byte) string {
	return fmt.Sprintf("%s %08x", magic, crc32.Checksum(body, castagnoli))
}

// ReadSealed reads a sealed file into v. The error is a *Damage if it is not what
// was written, or the operating system's; v is changed only without one.
func ReadSealed[T any](path, magic string, v *T) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, body, _ := bytes.Cut(raw, []byte("\n"))
	if string(head) != seal(magic, body) {
		return &Damage{Path: path, What: "its checksum is wrong"}
	}
	var read T
	if err := json.Unmarshal(body, &read); err != nil {
		return &Damage{Path: path, What: "it cannot be decoded", Err: err}
	}
	*v = read
	return nil
}

// WriteSealed writes v into a sealed file, durably.
func WriteSealed(path, magic string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, slices.Concat([]byte(seal(magic, body)), []byte("\n"), body))
}
