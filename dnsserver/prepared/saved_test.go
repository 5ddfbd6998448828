package prepared

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
	"go.uber.org/zap/zaptest"

	"consul.internal/catalog"
	"consul.internal/dnsserver/zone"
	"consul.internal/internal/fault"
)

// TestSaved: what was learned is on disk within a second, and answered again, as
// stale, by the next process that has no server.
func TestSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "views", "queries")
	synctest.Test(t, func(t *testing.T) {
		down, owner := false, "a"
		gone := map[string]bool{}
		fetch := func(_ context.Context, ask zone.Ask, _ uint64) (Answer, error) {
			switch {
			case down:
				return Answer{}, fault.Newf(fault.Unavailable, "down")
			case gone[ask.Name]:
				return Answer{}, fault.Newf(fault.Denied, "no")
			}
			return Answer{Index: 7, Sorted: true, Result: zone.Result{
				Service: "web", Datacenter: "dc1", TTL: 9 * time.Second, HasTTL: true,
				Instances: []*catalog.Instance{{
					Node: &catalog.Node{Name: ask.Name}, Checks: []*catalog.Check{{Status: catalog.Warning}},
					Service: &catalog.Service{Name: "web", Port: 80, Proxy: catalog.Proxy{Config: map[string]any{"a": map[string]any{"b": "c"}}}},
				}},
			}}, nil
		}
		open := func() *Cache {
			c := New(DefaultConfig(), fetch)
			if err := c.Open(t.Context(), path, owner, zaptest.NewLogger(t)); err != nil {
				t.Fatal(err)
			}
			return c
		}
		saved := func() []saved {
			t.Helper()
			list, err := readFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		c := open()
		for _, name := range []string{"a", "b", "c"} {
			if _, err := c.Execute(t.Context(), zone.Ask{Name: name, Datacenter: "dc1"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if list := saved(); len(list) != 3 || list[0].Name != "c" || list[2].Name != "a" {
			t.Fatalf("a second later there is %+v", list)
		}
		gone["b"] = true
		if _, err := c.Execute(t.Context(), zone.Ask{Name: "b", Datacenter: "dc1"}); !errors.Is(err, fault.Denied) {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if list := saved(); len(list) != 2 {
			t.Errorf("what may not be seen any more stays on disk: %+v", list)
		}
		if _, err := c.Execute(t.Context(), zone.Ask{Name: "d", Datacenter: "dc1"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil { // writes the rest at once
			t.Fatal(err)
		}
		down = true
		c = open()
		for name, known := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
			res, err := c.Execute(t.Context(), zone.Ask{Name: name, Datacenter: "dc1"})
			if known != (err == nil) {
				t.Errorf("%s after a restart: %v", name, err)
			}
			if known && (!res.Stale || !res.HasTTL || res.TTL != 9*time.Second || res.Service != "web" || res.Datacenter != "dc1" ||
				res.Instances[0].Node.Name != name || res.Instances[0].Status() != catalog.Warning || res.Instances[0].Service.Port != 80) {
				t.Errorf("%s after a restart: %+v", name, res)
			}
		}
		// What one token learned is neither there for another one, nor on disk.
		c.Forget("b")
		down = false
		if _, err := c.Execute(t.Context(), zone.Ask{Name: "e", Datacenter: "dc1"}); err != nil {
			t.Fatal(err)
		}
		for _, owner = range []string{"b", "a"} {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = open()
			time.Sleep(time.Second)
			synctest.Wait()
			if list := saved(); owner == "b" && (len(list) != 1 || list[0].Name != "e") || owner == "a" && len(list) != 0 {
				t.Errorf("of %s there is %+v", owner, list)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSavedDamaged(t *testing.T) {
	whole := func(list []saved) []byte {
		raw, err := cbor.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return append(binary.LittleEndian.AppendUint32([]byte(fileMagic), checksum(raw)), raw...)
	}
	good := whole([]saved{{Name: "a", Answer: Answer{Index: 1}}})
	flipped := append([]byte{}, good...)
	flipped[len(flipped)-1] ^= 1
	for name, data := range map[string][]byte{
		"empty": nil, "cut off": good[:len(good)-1], "a bit": flipped, "something else": []byte("hello, this is a text"),
		"no node":  whole([]saved{{Answer: Answer{Result: zone.Result{Instances: []*catalog.Instance{{Service: &catalog.Service{}}}}}}}),
		"no check": whole([]saved{{Answer: Answer{Result: zone.Result{Instances: []*catalog.Instance{{Node: &catalog.Node{}, Service: &catalog.Service{}, Checks: []*catalog.Check{nil}}}}}}}),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queries")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if list, err := readFile(path); err == nil {
				t.Fatalf("read as %+v", list)
			}
			c := New(DefaultConfig(), nil)
			if err := c.Open(t.Context(), path, "", zaptest.NewLogger(t)); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// FuzzDecode: no file makes an instance that answers cannot be made of.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := decode(append(binary.LittleEndian.AppendUint32([]byte(fileMagic), checksum(raw)), raw...))
		if err != nil {
			return
		}
		for _, s := range list {
			for _, i := range s.Answer.Instances {
				_, _ = i.Status(), i.Node.Name+i.Service.Name
			}
		}
	})
}
