package saved

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"consul.internal/internal/durable"
	"consul.internal/internal/fault"
	"consul.internal/view"
)

// Config says where and how what mirrors have learned is kept.
type Config struct {
	Path    string
	Delay   time.Duration // how long news are collected before they are written
	Retry   time.Duration // how long after an error writing is tried again
	Records int           // most names that are kept
	Owner   string        // in whose name they are learned: what another one learned is not read
}

// DefaultConfig returns the values for a file.
func DefaultConfig(path string) Config {
	return Config{
		Path:    path,
		Delay:   500 * time.Millisecond, // a new name is on disk within a second
		Retry:   5 * time.Second,        // a full disk does not empty faster
		Records: 12000,                  // what a Budget keeps, and some of datacenters that nobody asks about now
	}
}

// Saved keeps on disk what the mirrors of an agent know, so that it is answered
// again after a restart without any server. Nobody waits for its disk: what is
// to be written is kept as pointers to what mirrors hold anyway, one a name.
// Records are not synced one by one: a power cut may take the newest.
type Saved struct {
	cfg   Config
	log   *zap.Logger
	codec codec
	open  func(path string, flag int) (file, error) // a seam for tests: a disk that hangs
	wg    sync.WaitGroup
	wake  chan struct{} // of one place: there is something to write
	quick chan struct{} // of one place: it must not wait
	stop  chan struct{}
	done  chan struct{} // closed when the writer has ended

	mu      sync.Mutex // never held during I/O
	owner   string
	live    map[key]*name
	news    map[key]*name // nil value: gone
	rewrite bool          // the file must be made anew
	state   int           // new, open, closed
	size    int           // of the file
	dead    int           // how much of it counts no more

	// of the writer alone
	out     file
	failing bool
}

type file interface {
	io.WriteCloser
	Sync() error
}

type key struct {
	datacenter string
	subject    view.Subject
}

// name is what is, or is to be, on disk.
type name struct {
	view.Record
	owner string
	size  int // of its record in the file; 0: not there yet
}

// New returns a Saved that has not looked at its file.
func New(cfg Config, log *zap.Logger) (*Saved, error) {
	if cfg.Path == "" || cfg.Delay <= 0 || cfg.Retry <= 0 || cfg.Records <= 0 || log == nil {
		return nil, fault.Newf(fault.Invalid, "saved views need a path, positive limits and a logger: %+v", cfg)
	}
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &Saved{
		cfg: cfg, log: log, codec: codec, owner: cfg.Owner,
		open: func(path string, flag int) (file, error) { return os.OpenFile(path, flag, durable.FileMode) },
		wake: make(chan struct{}, 1), quick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		live: map[key]*name{}, news: map[key]*name{},
	}, nil
}

// Open reads the file. What cannot be read is left out and named in the log: an
// agent starts with less rather than not at all.
func (s *Saved) Open(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != 0 {
		return fault.Newf(fault.Invalid, "the saved views in %s were opened before", s.cfg.Path)
	}
	s.state = 1
	if err := durable.MkdirAll(filepath.Dir(s.cfg.Path)); err != nil {
		return fmt.Errorf("make the directory of the saved views: %w", err)
	}
	s.read()
	s.wg.Go(s.run)
	return nil
}

func (s *Saved) read() {
	info, err := os.Stat(s.cfg.Path)
	var data []byte
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("it has %d bytes, at most %d can be right", info.Size(), maxFile)
	}
	if err == nil {
		data, err = os.ReadFile(s.cfg.Path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		s.log.Warn("saved names cannot be read; names are learned anew", zap.String("file", s.cfg.Path), zap.Error(err))
		s.rewrite = true
		return
	}
	s.size = len(data)
	kept, strange := 0, 0
	damaged := s.codec.decodeAll(data, func(r *body, size int) {
		k := r.key()
		if old := s.live[k]; old != nil {
			kept -= old.size
			delete(s.live, k)
		}
		switch {
		case r.Gone:
		case r.Owner != s.owner:
			strange++
		default:
			s.live[k] = &name{*r.record(), r.Owner, size}
			kept += size
		}
	})
	if strange > 0 { // nothing of it is left on disk either
		s.rewrite = true
		poke(s.wake)
		poke(s.quick)
	}
	s.dead = s.size - kept
	if damaged > 0 {
		s.rewrite = true
		s.log.Warn("parts of the saved names are damaged and left out; they are learned anew",
			zap.String("file", s.cfg.Path), zap.Int("places", damaged), zap.Int("names", len(s.live)))
	}
}

// Load returns all names of a datacenter.
func (s *Saved) Load(datacenter string) []view.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []view.Record
	for k, n := range s.live {
		if k.datacenter == datacenter {
			out = append(out, n.Record)
		}
	}
	return out
}

// Datacenters lists those of which names are kept.
func (s *Saved) Datacenters() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := map[string]bool{}
	for k := range s.live {
		set[k.datacenter] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// Put notes what is known of a name now. It never waits.
func (s *Saved) Put(r view.Record) { s.note(key{r.Datacenter, r.Subject}, &name{Record: r}, false) }

// Belong says in whose name names are learned from now on. What was learned before is
// dropped, and the file made anew at once.
func (s *Saved) Belong(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner == s.owner || s.state != 1 {
		return
	}
	s.owner, s.rewrite = owner, true
	s.take()
	clear(s.live)
	poke(s.wake)
	poke(s.quick)
}

// Drop notes that a name is known no more. With scrub, the file is made anew at
// once, so that nothing of it is left there.
func (s *Saved) Drop(datacenter string, subject view.Subject, scrub bool) {
	s.note(key{datacenter, subject}, nil, scrub)
}

func (s *Saved) note(k key, n *name, scrub bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != 1 {
		return
	}
	if n != nil {
		n.owner = s.owner
	}
	s.news[k] = n
	s.rewrite = s.rewrite || scrub
	if len(s.news) > 2*s.cfg.Records { // the disk hangs: write all of it later
		s.rewrite = true
		s.take()
	}
	poke(s.wake)
	if scrub {
		poke(s.quick)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take brings live up to date with the news and returns them.
func (s *Saved) take() map[key]*name {
	news := s.news
	s.news = map[key]*name{}
	for k, n := range news {
		if old := s.live[k]; old != nil {
			s.dead += old.size
		}
		if n == nil {
			delete(s.live, k)
		} else {
			s.live[k] = n
		}
	}
	return news
}

// Close writes what is left, if the disk takes it within two seconds.
func (s *Saved) Close() error {
	s.mu.Lock()
	was := s.state
	s.state = 2
	s.mu.Unlock()
	if was == 1 {
		close(s.stop)
	}
	if was == 0 {
		return nil
	}
	const limit = 2 * time.Second // leaving must not depend on a disk that hangs
	select {
	case <-s.done:
		return nil
	case <-time.After(limit):
		return fault.Newf(fault.Unavailable, "the disk of %s does not answer; the newest names are not saved", s.cfg.Path)
	}
}

// run writes what is noted, until Close.
func (s *Saved) run() {
	defer close(s.done)
	last := false
	for !last {
		select {
		case <-s.wake:
			last = s.pause(s.cfg.Delay)
		case <-s.stop:
			last = true
		}
		err := s.flush()
		if err != nil {
			if !s.failing {
				s.log.Warn("names cannot be saved; they are answered until the agent ends", zap.String("file", s.cfg.Path), zap.Error(err))
			}
			s.mu.Lock()
			s.rewrite = true
			s.mu.Unlock()
			poke(s.wake)
			last = last || s.pause(s.cfg.Retry)
		}
		s.failing = err != nil
	}
	if s.out != nil {
		if err := s.out.Close(); err != nil {
			s.log.Warn("cannot close the saved names", zap.String("file", s.cfg.Path), zap.Error(err))
		}
	}
}

// pause waits, unless something must be written at once. It reports whether to end.
func (s *Saved) pause(d time.Duration) (stopped bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.quick:
	case <-s.stop:
		return true
	}
	return false
}

func (s *Saved) flush() error {
	s.mu.Lock()
	news := s.take()
	var all map[key]*name
	const little = 1 << 20 // below this, a rewrite saves nothing
	if s.rewrite || s.dead > little && s.dead > s.size/2 {
		s.rewrite = false
		all = make(map[key]*name, len(s.live))
		for k, n := range s.live {
			all[k] = n
		}
	}
	s.mu.Unlock()
	if all != nil {
		return s.writeAll(all)
	}
	if len(news) == 0 {
		return nil
	}
	return s.append(news)
}

// append adds records at the end of the file.
func (s *Saved) append(news map[key]*name) error {
	var buf []byte
	sizes := map[*name]int{}
	tombs := 0
	for k, n := range news {
		start := len(buf)
		var err error
		if buf, err = s.codec.encode(buf, n.body(k)); err != nil {
			s.log.Warn("a name cannot be saved", zap.String("name", k.subject.String()), zap.Error(err))
			continue
		}
		if n == nil {
			tombs += len(buf) - start
		} else {
			sizes[n] = len(buf) - start
		}
	}
	if s.out == nil {
		f, err := s.open(s.cfg.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
		if err != nil {
			return err
		}
		s.out = f
	}
	if _, err := s.out.Write(buf); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size += len(buf)
	s.dead += tombs
	for n, size := range sizes {
		n.size = size
	}
	return nil
}

func (n *name) body(k key) *body {
	if n == nil {
		return bodyOf(k, nil)
	}
	b := bodyOf(k, &n.Record)
	b.Owner = n.owner
	return b
}

// writeAll makes the file anew: temporary file, fsync, rename.
func (s *Saved) writeAll(all map[key]*name) (err error) {
	keys := make([]key, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { // the newest first: the others may be too many
		return all[b].Learned.Compare(all[a].Learned)
	})
	tmp := s.cfg.Path + ".tmp"
	f, err := s.open(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	sizes := map[*name]int{}
	size := 0
	var buf []byte
	for _, k := range keys[:min(len(keys), s.cfg.Records)] {
		buf, err = s.codec.encode(buf[:0], all[k].body(k))
		if err != nil {
			s.log.Warn("a name cannot be saved", zap.String("name", k.subject.String()), zap.Error(err))
			continue
		}
		if _, err = f.Write(buf); err != nil {
			return err
		}
		sizes[all[k]] = len(buf)
		size += len(buf)
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = durable.Rename(tmp, s.cfg.Path); err != nil {
		return err
	}
	s.replace(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size, s.dead = size, 0
	for n, bytes := range sizes {
		n.size = bytes
	}
	for k, n := range all { // what changed meanwhile is dead weight; what found no place is forgotten
		if s.live[k] != n {
			s.dead += n.size
		} else if _, written := sizes[n]; !written {
			delete(s.live, k)
		}
	}
	return nil
}

// replace goes on writing to a new file.
func (s *Saved) replace(f file) {
	if s.out != nil {
		if err := s.out.Close(); err != nil {
			s.log.Debug("cannot close the old file of saved names", zap.String("file", s.cfg.Path), zap.Error(err))
		}
	}
	s.out = f
}
