package gossip

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"consul.internal/internal/durable"
	"consul.internal/internal/fault"
	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"
)

const (
	// maxKeyringFile is far above what 100 keys need.
	maxKeyringFile = 64 << 10
	// nextSuffix is where serf writes the keys when a member of the pool changes
	// them. Serf writes in place, so this file is only taken if it is whole, and the
	// keyring file itself is never half written.
	nextSuffix = ".next"
)

// ParseKey reads a gossip key: base64 of 16, 24 or 32 bytes.
func ParseKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "the gossip key is not base64: %w; \"consul keygen\" makes one", err)
	}
	if err := memberlist.ValidateKey(key); err != nil {
		return nil, fault.Newf(fault.Invalid, "the gossip key has %d bytes, not 16, 24 or 32; \"consul keygen\" makes one", len(key))
	}
	return key, nil
}

func parseKeys(texts []string) ([][]byte, error) {
	var keys [][]byte
	for _, text := range texts {
		key, err := ParseKey(text)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// ReadKeyring reads the keys of a keyring file, the first of which encrypts. A
// file that is not there has no keys; a damaged or empty one is an error.
func ReadKeyring(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keyring file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyringFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("keyring file: %w", err)
	}
	keys, err := decodeKeyring(data)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "keyring file %s cannot be used: %w; restore it from another agent of the pool, or remove it and start with -encrypt and the pool's key", path, err)
	}
	return keys, nil
}

func decodeKeyring(data []byte) ([][]byte, error) {
	if len(data) > maxKeyringFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxKeyringFile)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("it is empty")
	}
	var texts []string
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	if len(texts) == 0 {
		return nil, errors.New("it has no keys")
	}
	return parseKeys(texts)
}

func encodeKeyring(keys [][]byte) ([]byte, error) {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = base64.StdEncoding.EncodeToString(k)
	}
	return json.MarshalIndent(texts, "", "  ")
}

// keyring is the pool's keys and their file.
type keyring struct {
	*memberlist.Keyring
	path string
	mu   sync.Mutex // one writer of the file
	kept [][]byte   // what the file holds
}

// openKeyring finds the keys: those of the file, else the configured ones. nil
// means that the pool is not encrypted.
func openKeyring(cfg Encryption, log *zap.Logger) (*keyring, error) {
	wanted, err := parseKeys(cfg.Keys)
	if err != nil {
		return nil, err
	}
	k := &keyring{path: cfg.KeyringFile}
	if cfg.InMemory && k.path != "" {
		if _, err := os.Stat(k.path); err == nil && len(wanted) == 0 {
			return nil, fault.Newf(fault.Invalid, "this agent's gossip was encrypted: %s has its keys, but disable_keyring_file says not to use it and no key is configured; set encrypt, or remove the file to gossip in plain text", k.path)
		}
		k.path = ""
	}
	keys := wanted
	if k.path != "" {
		stored, err := k.read()
		if err != nil {
			return nil, err
		}
		if len(stored) > 0 {
			keys = stored
			if len(wanted) > 0 && !bytes.Equal(wanted[0], stored[0]) {
				log.Warn("the configured gossip key is not the one in use: the keyring file goes before it; \"consul keyring\" changes keys",
					zap.String("file", k.path))
			}
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if k.Keyring, err = memberlist.NewKeyring(keys, keys[0]); err != nil {
		return nil, fault.With(fault.Invalid, err)
	}
	return k, k.save()
}

// read takes over what serf wrote before the process ended, if it is whole.
func (k *keyring) read() ([][]byte, error) {
	next := k.path + nextSuffix
	if data, err := os.ReadFile(next); err == nil && len(data) <= maxKeyringFile {
		if keys, err := decodeKeyring(data); err == nil {
			k.kept = keys
			return keys, k.write(keys)
		}
	}
	keys, err := ReadKeyring(k.path)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	sum, err := os.ReadFile(k.path + sumSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist): // a file of an earlier version, or of a person
	case err != nil:
		return nil, fmt.Errorf("keyring file: %w", err)
	case strings.TrimSpace(string(sum)) != keySum(keys):
		return nil, fault.Newf(fault.Invalid, "keyring file %s holds other keys than were written there; restore it from another agent of the pool, or, if the change was meant, remove %s", k.path, k.path+sumSuffix)
	}
	k.kept = keys
	return keys, nil
}

// sumSuffix names the file beside the keys that tells whether they are still what
// was written: a flipped bit makes another key, and an agent that nobody hears.
const sumSuffix = ".sum"

func keySum(keys [][]byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(bytes.Join(keys, []byte{0}), crc32.MakeTable(crc32.Castagnoli)))
}

// save writes the file if the keys have changed.
func (k *keyring) save() error {
	if k == nil || k.path == "" {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := k.GetKeys()
	if slices.EqualFunc(keys, k.kept, bytes.Equal) {
		if _, err := os.Stat(k.path + nextSuffix); err == nil {
			return durable.Remove(k.path + nextSuffix)
		}
		return nil
	}
	kept := make([][]byte, len(keys))
	for i, key := range keys {
		kept[i] = bytes.Clone(key)
	}
	if err := k.write(kept); err != nil {
		return err
	}
	k.kept = kept
	return nil
}

func (k *keyring) write(keys [][]byte) error {
	data, err := encodeKeyring(keys)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(k.path)); err != nil {
		return fmt.Errorf("keyring file: %w", err)
	}
	// Without a sum nothing is refused: it goes first and comes last.
	if err := durable.Remove(k.path + sumSuffix); err != nil {
		return fmt.Errorf("keyring file: %w", err)
	}
	if err := durable.WriteFile(k.path, data); err != nil {
		return fmt.Errorf("keyring file: %w", err)
	}
	if err := durable.WriteFile(k.path+sumSuffix, []byte(keySum(keys)+"\n")); err != nil {
		return fmt.Errorf("keyring file: %w", err)
	}
	if err := durable.Remove(k.path + nextSuffix); err != nil {
		return fmt.Errorf("keyring file: %w", err)
	}
	return nil
}

// EncodeKey is a key as people see it.
func EncodeKey(key []byte) string { return base64.StdEncoding.EncodeToString(key) }
