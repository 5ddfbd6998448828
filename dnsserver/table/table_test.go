package table_test

import (
	"fmt"
	"sync"
	"testing"

	"consul.internal/dnsserver/table"
)

func find(t *table.Table, key string) (string, bool) {
	p := []table.Probe{{Key: []byte(key)}}
	t.Find(p)
	if p[0].Entry == nil {
		return "", false
	}
	return string(p[0].Entry.Answer()), true
}

func put(t testing.TB, tab *table.Table, s *table.Stamps, key, answer string) {
	t.Helper()
	var m table.Mark
	m.Dep, m.Stamp = s.Of("", 1, key)
	if err := tab.Put([]byte(key), []byte(answer), m, s.Current); err != nil {
		t.Fatal(err)
	}
}

func TestTable(t *testing.T) {
	tab, s := table.New(table.DefaultConfig()), table.NewStamps()
	const n = 5000
	for round := range 2 { // the second time each takes the place of the first
		for i := range n {
			put(t, tab, s, fmt.Sprint("key ", i), fmt.Sprint("answer ", i, round))
		}
		for i := range n {
			if got, ok := find(tab, fmt.Sprint("key ", i)); !ok || got != fmt.Sprint("answer ", i, round) {
				t.Fatalf("%d: %q", i, got)
			}
		}
		if got, _ := tab.Stats(); got != n {
			t.Fatalf("%d entries", got)
		}
	}
	if got, ok := find(tab, "key"); ok {
		t.Errorf("found %q", got)
	}
}

// A change is seen by the entries that hold by what changed.
func TestStamps(t *testing.T) {
	tab, s := table.New(table.DefaultConfig()), table.NewStamps()
	put(t, tab, s, "web", "1")
	put(t, tab, s, "db", "1")
	s.Changed("", 1, "web")
	s.Changed("", 2, "db")
	s.Changed("dc2", 1, "db")
	for key, want := range map[string]bool{"web": false, "db": true} {
		p := []table.Probe{{Key: []byte(key)}}
		tab.Find(p)
		if got := s.Current(p[0].Entry); got != want {
			t.Errorf("%s holds: %v", key, got)
		}
	}
}

// However many questions there are, the table stays within its bytes, and what
// holds no more goes first.
func TestBound(t *testing.T) {
	const limit = 1 << 20
	tab, s := table.New(table.Config{Bytes: limit}), table.NewStamps()
	for i := range 50000 {
		put(t, tab, s, fmt.Sprint("key ", i), "an answer of some length, as answers have it")
		if _, bytes := tab.Stats(); bytes > limit {
			t.Fatalf("%d bytes after %d keys", bytes, i)
		}
	}
	if n, _ := tab.Stats(); n < 1000 {
		t.Errorf("%d entries are left", n)
	}
}

// Readers see an entry whole while others are put and the table grows.
func TestReadersDoNotWait(t *testing.T) {
	tab, s := table.New(table.Config{Bytes: 1 << 18}), table.NewStamps()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprint(i % 3000)
				if got, ok := find(tab, key); ok && got != "answer "+key {
					t.Errorf("%s has %q", key, got)
					return
				}
			}
		})
	}
	for i := range 20000 {
		key := fmt.Sprint(i % 3000)
		put(t, tab, s, key, "answer "+key)
	}
	close(stop)
	wg.Wait()
}
