package tokens

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"

	"consul.internal/internal/durable"
	"consul.internal/internal/fault"
)

// Kind names one of the tokens that an agent has for itself.
type Kind string

// The tokens that an agent has, as they are called in its configuration.
const (
	Default     Kind = "default"                          // of requests that bring none
	Agent       Kind = "agent"                            // of what the agent does for itself
	Recovery    Kind = "agent_recovery"                   // for this agent while no server can be asked
	Replication Kind = "replication"                      // for copying from the primary datacenter
	DNS         Kind = "dns"                              // of DNS questions
	FileService Kind = "config_file_service_registration" // of services of the configuration files
)

// fileFormat is the version of that file; one that is newer is not guessed at.
const fileFormat = 1

// tokensFile is where tokens that came over HTTP are kept, below the data directory.
const tokensFile = "acl-tokens.json"

// savedTokens is the content of tokensFile.
type savedTokens struct {
	Format int             `json:"format"`
	Tokens map[Kind]string `json:"tokens"`
}

// Store holds the tokens that this agent has for itself. Those set over HTTP count
// more than those of the configuration; they last as long as the process or, where
// they are persisted, beyond it.
type Store struct {
	log *zap.Logger

	changed func() // see Changed

	mu    sync.RWMutex
	path  string // of the file; "" = nothing is persisted
	files map[Kind]string
	set   map[Kind]string // over HTTP; "" = none, whatever the files say
	saved map[Kind]string // what the file holds: never what nobody wants persisted
}

// New takes those of the configuration and, if persist, those in the data directory.
func New(files map[Kind]string, dataDir string, persist bool, log *zap.Logger) (*Store, error) {
	t := &Store{log: log, files: files, set: map[Kind]string{}, saved: map[Kind]string{}}
	if !persist || dataDir == "" {
		return t, nil
	}
	t.path = filepath.Join(dataDir, tokensFile)
	text, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("persisted tokens (acl.enable_token_persistence): %w", err)
	}
	var s savedTokens
	if err := json.Unmarshal(text, &s); err != nil || s.Format != fileFormat {
		log.Error("The file with persisted tokens is damaged or of another version; it is left as it is until a token is set. Set them again", zap.String("file", t.path))
		return t, nil
	}
	for kind, secret := range s.Tokens {
		t.set[kind], t.saved[kind] = secret, secret
		if have := files[kind]; have != "" && have != secret {
			log.Warn("A token is in the configuration and was set over HTTP; the latter counts", zap.String("token", string(kind)))
		}
	}
	return t, nil
}

// Changed has a function called after each change. It is set before anybody changes
// a token.
func (t *Store) Changed(call func()) { t.changed = call }

func (t *Store) tell() {
	if t.changed != nil {
		t.changed()
	}
}

// Get returns a token's secret, "" if there is none.
func (t *Store) Get(kind Kind) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.get(kind)
}

func (t *Store) get(kind Kind) string {
	if secret, ok := t.set[kind]; ok {
		return secret
	}
	return t.files[kind]
}

// first returns the first of the kinds that is there.
func (t *Store) first(kinds ...Kind) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, k := range kinds {
		if secret := t.get(k); secret != "" {
			return secret
		}
	}
	return ""
}

// Default is the token of requests that bring none; "" = anonymous.
func (t *Store) Default() string { return t.Get(Default) }

// Agent is the token of what the agent does for itself.
func (t *Store) Agent() string { return t.first(Agent, Default) }

// DNS is the token of DNS questions; "" = anonymous.
func (t *Store) DNS() string { return t.first(DNS, Default) }

// FileServices is the token of services of the configuration files that have none.
func (t *Store) FileServices() string { return t.first(FileService, Default) }

// IsRecovery reports whether a secret is that of the recovery token, in a time that
// does not tell how much of it is right.
func (t *Store) IsRecovery(secret string) bool {
	own := t.Get(Recovery)
	return own != "" && subtle.ConstantTimeCompare([]byte(own), []byte(secret)) == 1
}

// Set takes a token that came over HTTP; "" takes it away. It is persisted where
// that is asked for, and counts only then.
func (t *Store) Set(kind Kind, secret string) error {
	switch kind {
	case Default, Agent, Recovery, Replication, DNS, FileService:
	default:
		return fault.Newf(fault.NotFound, "Token %q is unknown", string(kind))
	}
	if err := t.put(kind, secret); err != nil {
		return err
	}
	t.tell()
	return nil
}

func (t *Store) put(kind Kind, secret string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.path != "" {
		next := map[Kind]string{kind: secret}
		for k, v := range t.saved {
			if k != kind {
				next[k] = v
			}
		}
		text, err := json.MarshalIndent(savedTokens{Format: fileFormat, Tokens: next}, "", "  ")
		if err != nil {
			return err
		}
		if err := durable.WriteFile(t.path, append(text, '\n')); err != nil {
			return fault.Newf(fault.Unavailable, "failed to persist the token: %w", err)
		}
		t.saved = next
	}
	t.set[kind] = secret
	return nil
}

// Reload takes the tokens of a configuration that was read again. One that changed
// there counts more than what was set over HTTP and is not persisted.
func (t *Store) Reload(files map[Kind]string) {
	t.take(files)
	t.tell()
}

func (t *Store) take(files map[Kind]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, kind := range []Kind{Default, Agent, Recovery, Replication, DNS, FileService} {
		if _, persisted := t.saved[kind]; !persisted && files[kind] != t.files[kind] {
			delete(t.set, kind)
		}
	}
	t.files = files
}
