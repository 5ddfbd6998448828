package saved

import (
	"testing"

	"consul.internal/catalog"
	"consul.internal/view"
)

// FuzzFile reads files of any content: what comes out can be used, and is
// written and read again as it was.
func FuzzFile(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	web := recordOf("web", 3, "a", "b")
	k := key{"dc1", web.Subject}
	var all []byte
	for _, b := range []*body{
		bodyOf(k, &web), bodyOf(k, nil),
		{Datacenter: "dc1", Kind: view.KindNode, Name: "n", Changes: []catalog.Change{{Op: catalog.NodeSet, Node: &catalog.Node{Name: "N"}}}},
	} {
		one, err := c.encode(nil, b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(one)
		all = append(all, one...)
	}
	f.Add(all)
	f.Add(all[:len(all)-5])
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(b *body, _ int) {
			if b.Gone {
				return
			}
			r := b.record()
			if !r.Sound() {
				t.Fatalf("%+v cannot be used", r)
			}
			again, err := c.encode(nil, bodyOf(b.key(), r))
			if err != nil {
				t.Fatal(err)
			}
			if back, _, _, ok := c.decode(again); !ok || back.key() != b.key() || len(back.Changes) != len(b.Changes) {
				t.Fatalf("%+v is not read again", r)
			}
		}
		c.decodeAll(data, check)
		// The same behind a checksum that fits, so that the content is looked at.
		b := &body{}
		if c.dec.Unmarshal(data, b) == nil && b.record().Sound() {
			check(b, 0)
		}
	})
}
