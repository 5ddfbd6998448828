package saved

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"consul.internal/catalog"
	"consul.internal/internal/durable"
	"consul.internal/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func recordOf(name string, index uint64, nodes ...string) view.Record {
	r := view.Record{Datacenter: "dc1", Subject: service(name), Token: view.Token{Cluster: "c1", Epoch: 2, Index: index}, Changed: index, Learned: time.Now()}
	for _, n := range nodes {
		r.Changes = append(r.Changes, catalog.Change{Op: catalog.InstanceSet, Instance: &catalog.Instance{
			Node: &catalog.Node{Name: n, Address: "10.0.0.1", Meta: map[string]string{"a": "b"}},
			Service: &catalog.Service{ID: name, Name: name, Tags: []string{"x"}, Proxy: catalog.Proxy{
				Config: map[string]any{"deep": map[string]any{"list": []any{"a"}}}}},
			Checks: []*catalog.Check{{CheckID: "c", Status: catalog.Warning, Definition: catalog.CheckDefinition{Interval: catalog.Duration(time.Second)}}},
		}})
	}
	return r
}

func service(name string) view.Subject { return view.Subject{Kind: view.KindService, Name: name} }

// openSaved opens a file that is read before anything is written.
func openSaved(t *testing.T, path string, change ...func(*Saved)) (*Saved, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s, err := New(DefaultConfig(path), zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(s)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, logs
}

// names says what a file holds.
func names(s *Saved) string {
	out := []string{}
	for _, r := range s.Load("dc1") {
		line := r.Subject.Name + "@" + fmt.Sprint(r.Token.Index)
		for _, c := range r.Changes {
			line += " " + c.Instance.Node.Name
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "v", "names")
		s, _ := openSaved(t, path)
		s.Put(recordOf("web", 5, "a"))
		s.Put(recordOf("db", 5, "a"))
		z := recordOf("web", 7, "z")
		z.Datacenter = "dc2"
		s.Put(z)
		time.Sleep(time.Second) // the promise
		s.Put(recordOf("web", 6, "a", "b"))
		s.Drop("dc1", service("db"), false)
		time.Sleep(time.Second)
		two, logs := openSaved(t, path)
		if got := names(two); got != "web@6 a b" || logs.Len() != 0 {
			t.Errorf("read %q, %v", got, logs.All())
		}
		if r := two.Load("dc2"); len(r) != 1 || r[0].Token != (view.Token{Cluster: "c1", Epoch: 2, Index: 7}) {
			t.Errorf("dc2: %+v", r)
		}
		i := two.Load("dc1")[0].Changes[0].Instance
		deep, ok := i.Service.Proxy.Config["deep"].(map[string]any)
		if !ok || len(deep) != 1 || i.Checks[0].Definition.Interval != catalog.Duration(time.Second) || i.Node.Meta["a"] != "b" {
			t.Errorf("read %+v", i.Service.Proxy)
		}
		for p, mode := range map[string]os.FileMode{path: durable.FileMode, filepath.Dir(path): durable.DirMode} {
			if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != mode {
				t.Errorf("%s: %v %v", p, fi, err)
			}
		}
		// Closing writes what is left.
		two.Put(recordOf("late", 9, "a"))
		if err := two.Close(); err != nil {
			t.Error(err)
		}
		if err := two.Close(); err != nil {
			t.Error(err)
		}
		three, _ := openSaved(t, path)
		if got := names(three); got != "late@9 a, web@6 a b" {
			t.Errorf("after closing: %q", got)
		}
	})
}

// What may not be seen any more is not left in the file.
func TestSavedScrubs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "names")
		s, _ := openSaved(t, path)
		s.Put(recordOf("secret", 5, "hidden"))
		s.Put(recordOf("web", 5, "a"))
		time.Sleep(time.Second)
		s.Drop("dc1", service("secret"), true)
		synctest.Wait()
		data, err := os.ReadFile(path)
		if err != nil || bytes.Contains(data, []byte("hidden")) || !bytes.Contains(data, []byte("web")) {
			t.Errorf("%q %v", data, err)
		}
	})
}

// A file that is mostly dead is made anew, and one of too many names is cut.
func TestSavedCompacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "names")
		s, _ := openSaved(t, path, func(s *Saved) { s.cfg.Records = 50 })
		big := strings.Repeat("x", 100_000)
		for i := range uint64(100) {
			r := recordOf("web", i, "a")
			r.Changes[0].Instance.Checks[0].Output = big
			s.Put(r)
			time.Sleep(time.Second)
		}
		if fi, err := os.Stat(path); err != nil || fi.Size() > 3<<20 {
			t.Errorf("the file has %d bytes, %v", fi.Size(), err)
		}
		for i := range 300 {
			name := fmt.Sprintf("s%03d", i)
			s.Put(recordOf(name, uint64(i), "a"))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		s.Drop("dc1", service("web"), true)
		time.Sleep(time.Second)
		got, _ := openSaved(t, path)
		all := got.Load("dc1")
		if len(all) != 50 || slices.ContainsFunc(all, func(r view.Record) bool { return r.Subject.Name < "s250" }) {
			t.Errorf("%d names: %s", len(all), names(got))
		}
	})
}

// Wherever a file is torn or damaged, what is whole is used, and only that.
func TestSavedDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "names")
		s, _ := openSaved(t, path)
		whole := map[string]view.Record{}
		for i := range 5 {
			name := fmt.Sprintf("s%d", i)
			whole[name] = recordOf(name, uint64(i+1), "a", "b")
			s.Put(whole[name])
		}
		time.Sleep(time.Second)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		size := len(data) / 5
		check := func(what string, damaged []byte, least int) {
			t.Helper()
			found := map[string]bool{}
			s.codec.decodeAll(damaged, func(b *body, _ int) {
				r, w := b.record(), whole[b.Name]
				if b.Gone || r.Token != w.Token || r.Changes[1].Instance.Node.Name != "b" || r.Datacenter != "dc1" {
					t.Errorf("%s: damage was used: %+v", what, b)
				}
				found[b.Name] = true
			})
			if len(found) < least {
				t.Errorf("%s: only %v are left", what, slices.Collect(maps.Keys(found)))
			}
		}
		for n := range len(data) {
			check("torn", data[:n], n/(size+8)-0)
		}
		for n := range data {
			d := bytes.Clone(data)
			d[n] ^= 1 << (n % 8)
			check("a bit", d, 4)
		}
		for _, at := range []int{0, size / 2, len(data) - 3} {
			d := slices.Insert(bytes.Clone(data), at, []byte("garbage"+recordMagic+"\xff\xff\xff\xff....")...)
			check("garbage", d, 4)
		}
		// A damaged file is named in the log, and mended.
		data[size] ^= 1
		data[size/2] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, logs := openSaved(t, path)
		if n := len(got.Load("dc1")); n < 3 || logs.Len() != 1 {
			t.Errorf("%d names, %v", n, logs.All())
		}
		got.Put(recordOf("new", 9, "a"))
		time.Sleep(time.Second)
		if again, logs := openSaved(t, path); logs.Len() != 0 || !strings.Contains(names(again), "new@9") {
			t.Errorf("not mended: %v", logs.All())
		}
		// One that cannot be read at all.
		if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
			t.Fatal(err)
		}
		if got, logs := openSaved(t, path); len(got.Load("dc1")) != 0 || logs.Len() == 0 {
			t.Error("a directory was read")
		}
	})
}

// hung is a file on a disk that does not answer until it is let go.
type hung struct {
	file
	mu   sync.Mutex
	gate chan struct{} // nil: it works
	err  error
}

func (h *hung) Write(b []byte) (int, error) {
	h.mu.Lock()
	gate, err := h.gate, h.err
	h.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if err != nil {
		return 0, err
	}
	return h.file.Write(b)
}

func (h *hung) set(gate chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate, h.err = gate, err
}

// Nobody waits for a disk that hangs, and nothing grows meanwhile.
func TestSavedHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "names")
		disk := &hung{}
		s, logs := openSaved(t, path, func(s *Saved) {
			s.cfg.Records = 20
			open := s.open
			s.open = func(path string, flag int) (file, error) {
				f, err := open(path, flag)
				disk.file = f
				return disk, err
			}
		})
		gate := make(chan struct{})
		disk.set(gate, nil)
		s.Put(recordOf("web", 1, "a"))
		time.Sleep(time.Minute)
		began := time.Now()
		for i := range 10000 {
			name := fmt.Sprintf("s%d", i)
			s.Put(recordOf(name, 1, "a"))
			s.Drop("dc1", service(name), false)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("putting waited %v", d)
		}
		s.Put(recordOf("db", 1, "a"))
		s.mu.Lock()
		n := len(s.news)
		s.mu.Unlock()
		if n > 41 {
			t.Errorf("%d names wait", n)
		}
		disk.set(nil, nil)
		close(gate)
		time.Sleep(2 * time.Second)
		if got, _ := openSaved(t, path); names(got) != "db@1 a, web@1 a" {
			t.Errorf("after all: %q", names(got))
		}
		// A full disk is tried again, and named once.
		disk.set(nil, errors.New("no space left on device"))
		s.Put(recordOf("more", 1, "a"))
		time.Sleep(time.Minute)
		if logs.Len() != 1 {
			t.Errorf("logged %v", logs.All())
		}
		disk.set(nil, nil)
		time.Sleep(10 * time.Second)
		if got, _ := openSaved(t, path); names(got) != "db@1 a, more@1 a, web@1 a" {
			t.Errorf("after the disk had room: %q", names(got))
		}
		gate = make(chan struct{})
		disk.set(gate, nil)
		s.Put(recordOf("last", 1, "a"))
		time.Sleep(time.Second)
		if err := s.Close(); err == nil {
			t.Error("closing says nothing of a disk that hangs")
		}
		close(gate)
	})
}

// TestOwner: what was learned in one name is neither given to another one, nor left on disk.
func TestOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "v", "names")
		of := func(owner string) func(*Saved) { return func(s *Saved) { s.owner = owner } }
		open := func(owner, want string, onDisk ...string) *Saved {
			t.Helper()
			s, logs := openSaved(t, path, of(owner))
			if got := names(s); got != want || logs.Len() != 0 {
				t.Errorf("%s reads %q, %v", owner, got, logs.All())
			}
			time.Sleep(time.Second)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"web", "db", "api"} {
				if there := bytes.Contains(data, []byte(name)); there != slices.Contains(onDisk, name) {
					t.Errorf("%s is on disk: %v", name, there)
				}
			}
			return s
		}
		first, _ := openSaved(t, path, of("a"))
		first.Put(recordOf("web", 5, "n"))
		time.Sleep(time.Second)
		first.Put(recordOf("db", 6, "n")) // not on disk yet
		first.Belong("b")
		if got := names(first); got != "" {
			t.Errorf("still there: %q", got)
		}
		first.Put(recordOf("api", 7, "n"))
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		second := open("b", "api@7 n", "api")
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		third := open("", "")
		if err := third.Close(); err != nil {
			t.Fatal(err)
		}
		open("b", "")
	})
}
