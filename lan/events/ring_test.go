package events

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consul.internal/kv"
)

func anything(*kv.Event) bool { return true }

func testRing() *Ring {
	return NewRing("node-a", func() iter.Seq2[string, []string] {
		return maps.All(map[string][]string{"web": {"v1"}, "db": nil})
	})
}

func id(n int) string { return fmt.Sprintf("%08x-0000-0000-0000-%012x", n, n+1) }

func (r *Ring) fire(t *testing.T, e kv.Event) {
	t.Helper()
	e.Version = kv.EventVersion
	name, payload, err := Encode(&e)
	if err != nil {
		t.Fatal(err)
	}
	r.Take(name, payload, 7)
}

func TestRingFilters(t *testing.T) {
	r := testRing()
	for i, tt := range []struct {
		e    kv.Event
		kept bool
	}{
		{kv.Event{}, true},
		{kv.Event{NodeFilter: "^node-"}, true},
		{kv.Event{NodeFilter: "^other"}, false},
		{kv.Event{ServiceFilter: "^d"}, true},
		{kv.Event{ServiceFilter: "^d", TagFilter: "."}, false},
		{kv.Event{ServiceFilter: ".", TagFilter: "v1"}, true},
		{kv.Event{ServiceFilter: "["}, false},
	} {
		tt.e.ID, tt.e.Name = id(i), fmt.Sprint("e", i)
		r.fire(t, tt.e)
		_, got := r.List(t.Context(), tt.e.Name, anything, 0)
		if (len(got) == 1) != tt.kept {
			t.Errorf("%+v: %d kept", tt.e, len(got))
		} else if tt.kept && (got[0].ID != tt.e.ID || got[0].LTime != 7) {
			t.Errorf("%+v came as %+v", tt.e, got[0])
		}
	}
	for _, payload := range []string{"", "\xff", "\xa1\x61i\x41x", strings.Repeat("x", 10_000)} {
		r.Take("user:x", []byte(payload), 1)
	}
	r.Take("another's", nil, 1)
	if _, got := r.List(t.Context(), "x", anything, 0); len(got) != 0 {
		t.Errorf("rubbish was kept: %+v", got)
	}
}

func TestRingKeepsTheLast(t *testing.T) {
	r := testRing()
	for i := range 2 * kept {
		r.fire(t, kv.Event{ID: id(i), Name: "e"})
	}
	index, got := r.List(t.Context(), "", anything, 0)
	if len(got) != kept || got[0].ID != id(kept) || index != got[kept-1].Index() {
		t.Errorf("%d kept from %s, index %d", len(got), got[0].ID, index)
	}
}

func TestRingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRing()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if index, got := r.List(ctx, "e", anything, 1); index != 1 || len(got) != 0 || time.Since(start) != time.Minute {
			t.Errorf("index %d, %v after %v", index, got, time.Since(start))
		}
		time.AfterFunc(time.Second, func() { r.fire(t, kv.Event{ID: id(1), Name: "other"}) })
		time.AfterFunc(2*time.Second, func() { r.fire(t, kv.Event{ID: id(2), Name: "e"}) })
		start = time.Now()
		if index, got := r.List(t.Context(), "e", anything, 1); len(got) != 1 || index != got[0].Index() || time.Since(start) != 2*time.Second {
			t.Errorf("index %d, %v after %v", index, got, time.Since(start))
		}
	})
}

func TestTooLong(t *testing.T) {
	for _, e := range []kv.Event{{ID: id(1), Name: "e", Payload: make([]byte, kv.MaxEvent)}, {ID: "x", Name: "e"}} {
		if _, _, err := Encode(&e); err == nil {
			t.Errorf("%+v is taken", e)
		}
	}
}
