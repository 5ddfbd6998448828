package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/checks"
	"consul.internal/internal/durable"
)

const (
	// fileFormat is the version of the persisted files; one that is newer is not guessed at.
	fileFormat = 1
	// maxFileSize bounds what is read of a persisted file: eight times the largest body, since JSON spells some bytes in six.
	maxFileSize = 8 * maxBody
)

// savedService is the file of a service that was registered over HTTP.
type savedService struct {
	Format  int
	Token   string `json:",omitempty"`
	Service *catalog.Service
}

// savedCheck is the file of a check that was registered over HTTP, or of a
// maintenance mode (its ID tells; Definition then holds ID, Notes and ServiceID).
type savedCheck struct {
	Format     int
	OfService  bool // came in a service's definition
	Definition checks.Definition
}

// savedState is the file of a TTL check's state.
type savedState struct {
	Format  int
	ID      string
	Status  catalog.Status
	Output  string
	Expires time.Time // the state is void after it
}

// files is the part of the data directory that holds what was registered over
// HTTP. With dir "" it keeps nothing.
type files struct {
	dir string
	log *zap.Logger
}

func (f *files) open() error {
	if f.dir == "" {
		return nil
	}
	for _, sub := range []string{"services", "checks", filepath.Join("checks", "state")} {
		if err := durable.MkdirAll(filepath.Join(f.dir, sub)); err != nil {
			return fmt.Errorf("the data directory %s cannot be used: %w", f.dir, err)
		}
	}
	return nil
}

// fileName is the name for an ID, which may hold any character.
func fileName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

func (f *files) servicePath(id string) string { return filepath.Join(f.dir, "services", fileName(id)) }

// hasService reports whether there is a file for the service, readable or not.
func (f *files) hasService(id string) bool {
	if f.dir == "" {
		return false
	}
	_, err := os.Stat(f.servicePath(id))
	return err == nil
}

func (f *files) checkPath(id string) string { return filepath.Join(f.dir, "checks", fileName(id)) }
func (f *files) statePath(id string) string {
	return filepath.Join(f.dir, "checks", "state", fileName(id))
}

func (f *files) write(path string, v any) error {
	if f.dir == "" {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return durable.WriteFile(path, data)
}

func (f *files) saveService(p *servicePlan) error {
	return f.write(f.servicePath(p.service.ID), savedService{Format: fileFormat, Token: p.token, Service: p.service})
}

func (f *files) saveCheck(p *checkPlan) error {
	s := savedCheck{Format: fileFormat, OfService: p.ofService}
	if p.def != nil {
		s.Definition = *p.def
	} else {
		s.Definition = checks.Definition{ID: p.id, Notes: p.check.Notes, ServiceID: p.check.ServiceID, Token: p.token}
	}
	return f.write(f.checkPath(p.id), s)
}

func (f *files) saveState(s savedState) error {
	s.Format = fileFormat
	return f.write(f.statePath(s.ID), s)
}

func (f *files) remove(path string) error {
	if f.dir == "" {
		return nil
	}
	return durable.Remove(path)
}

func (f *files) removeCheck(id string) error {
	return errors.Join(f.remove(f.checkPath(id)), f.remove(f.statePath(id)))
}

// loadServices reads the services. A file that is damaged is named in the log,
// left as it is, and does not keep others from loading.
func (f *files) loadServices() ([]*servicePlan, error) {
	var out []*servicePlan
	err := f.each("services", func(data []byte) (id string, take func(), err error) {
		p, err := decodeSavedService(data)
		if err != nil {
			return "", nil, err
		}
		return p.service.ID, func() { out = append(out, p) }, nil
	})
	return out, err
}

func decodeSavedService(data []byte) (*servicePlan, error) {
	var s savedService
	if err := readSaved(data, &s); err != nil {
		return nil, err
	}
	if s.Format != fileFormat || s.Service == nil {
		return nil, fmt.Errorf("it is no service of format %d", fileFormat)
	}
	svc := s.Service
	def := ServiceDefinition{
		Kind: svc.Kind, ID: svc.ID, Name: svc.Name, Tags: svc.Tags, Address: svc.Address,
		TaggedAddresses: svc.TaggedAddresses, Meta: svc.Meta, Port: svc.Port, SocketPath: svc.SocketPath,
		Weights: &svc.Weights, EnableTagOverride: svc.EnableTagOverride, Token: s.Token,
		Proxy: svc.Proxy, Connect: svc.Connect,
	}
	if err := def.Validate(); err != nil {
		return nil, err
	}
	return &servicePlan{service: def.service(), token: s.Token}, nil
}

// loadChecks reads the checks, as loadServices does.
func (f *files) loadChecks(cfg *Config) ([]*checkPlan, error) {
	var out []*checkPlan
	err := f.each("checks", func(data []byte) (string, func(), error) {
		p, err := decodeSavedCheck(cfg, data)
		if err != nil {
			return "", nil, err
		}
		return p.id, func() { out = append(out, p) }, nil
	})
	return out, err
}

func decodeSavedCheck(cfg *Config, data []byte) (*checkPlan, error) {
	var s savedCheck
	if err := readSaved(data, &s); err != nil {
		return nil, err
	}
	d := s.Definition
	if s.Format != fileFormat || d.ID == "" {
		return nil, fmt.Errorf("it is no check of format %d", fileFormat)
	}
	switch {
	case isMaintenance(d.ID):
		p := maintenancePlan(d.ServiceID, d.Notes, d.Token)
		if p.id != d.ID {
			return nil, fmt.Errorf("the maintenance mode %q is not that of service %q", d.ID, d.ServiceID)
		}
		return p, nil
	case s.OfService:
		if d.ServiceID == "" || d.Name == "" {
			return nil, errors.New("the check of a service names no service")
		}
		p, err := cfg.planAny(&d, fromAPI)
		if err != nil {
			return nil, err
		}
		p.ofService = true
		p.check.Type = string(d.Kind())
		p.check.Interval, p.check.Timeout = durationText(d.Interval), durationText(d.Timeout)
		return p, nil
	default:
		return cfg.planCheck(&d, fromAPI)
	}
}

// loadStates reads the states of TTL checks that are not void by now.
func (f *files) loadStates(now time.Time) (map[string]savedState, error) {
	out := make(map[string]savedState)
	err := f.each(filepath.Join("checks", "state"), func(data []byte) (string, func(), error) {
		s, err := decodeSavedState(data)
		if err != nil {
			return "", nil, err
		}
		return s.ID, func() {
			if s.Expires.After(now) {
				out[s.ID] = s
			}
		}, nil
	})
	return out, err
}

func decodeSavedState(data []byte) (savedState, error) {
	var s savedState
	if err := readSaved(data, &s); err != nil {
		return s, err
	}
	if s.Format != fileFormat || s.ID == "" || !s.Status.Valid() {
		return s, fmt.Errorf("it is no check state of format %d", fileFormat)
	}
	return s, nil
}

// readSaved decodes a file's content. It is nested no deeper than a body may be.
func readSaved(data []byte, v any) error {
	if depth(data) > maxDepth {
		return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	}
	return json.Unmarshal(data, v)
}

// depth is how deep a JSON text is nested; of what is no JSON it says nothing.
func depth(data []byte) int {
	deepest, level, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}', c == ']':
			level--
		}
	}
	return deepest
}

// reader reads the content of a file: whose it is, and how to take it in.
type reader func(data []byte) (id string, take func(), err error)

// each reads every file in a folder and logs which it refuses.
func (f *files) each(sub string, read reader) error {
	if f.dir == "" {
		return nil
	}
	dir := filepath.Join(f.dir, sub)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("the data directory cannot be read: %w", err)
	}
	for _, e := range entries {
		// A name with a dot is a temporary file that a power cut left behind.
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := f.takeFile(path, e, read); err != nil {
			f.log.Error("A persisted file is damaged or cannot be used; it is skipped and left as it is. Register what it held again, or remove the file",
				zap.String("file", path), zap.Error(err))
		}
	}
	return nil
}

func (f *files) takeFile(path string, e fs.DirEntry, read reader) error {
	info, err := e.Info()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case info.Size() == 0:
		return errors.New("it is empty")
	case info.Size() > maxFileSize:
		return fmt.Errorf("it is larger than %d bytes", maxFileSize)
	}
	data, err := readBounded(path)
	if err != nil {
		return err
	}
	id, take, err := read(data)
	if err != nil {
		return err
	}
	// A copy under another name would never be updated, nor be removed with what it describes.
	if fileName(id) != e.Name() {
		return fmt.Errorf("its name should be %s for the ID %q", fileName(id), id)
	}
	take()
	return nil
}

// readBounded reads a file that may have grown since its size was looked at.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(data) > maxFileSize {
		err = fmt.Errorf("it is larger than %d bytes", maxFileSize)
	}
	return data, err
}
