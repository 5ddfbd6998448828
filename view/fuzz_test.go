package view

import (
	"context"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"go.uber.org/zap"

	"consul.internal/catalog"
	"consul.internal/internal/fault"
)

// nobody is a source without servers.
type nobody struct{}

func (nobody) Session(context.Context, string) (Session, error) {
	return nil, fault.Newf(fault.Unavailable, "no server can be reached")
}

// FuzzEvent lets a server say anything: a mirror takes it or ends the session,
// and what it shows can be read.
func FuzzEvent(f *testing.F) {
	for _, e := range []Event{
		{Heartbeat: true, Token: Token{"c1", 1, 5}},
		{Subject: Subject{KindService, "web"}, Seq: 1, Token: Token{"c1", 1, 5}, Reset: true, Changes: []catalog.Change{{Op: catalog.InstanceSet, Instance: &catalog.Instance{
			Node: &catalog.Node{Name: "a"}, Service: &catalog.Service{Name: "web"}, Checks: []*catalog.Check{{Status: catalog.Warning}},
		}}}},
		{Subject: Subject{KindService, "web"}, Seq: 1, End: EndLimit},
		{Subject: Subject{Kind: KindIndex}, Seq: 2, Token: Token{"c1", 1, 5}, Reset: true, Added: []uint64{1, 2}},
		{Subject: Subject{KindAddress, "192.0.2.1"}, Seq: 3, Token: Token{"c1", 1, 5}, Reset: true},
	} {
		b, err := cbor.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		m := bareMirror(t)
		l := m.up.attach(nil)
		for i, s := range []Subject{Subject{KindService, "web"}, {KindNode, "n"}, {KindAddress, "192.0.2.1"}} {
			e := m.add(s)
			e.following.Store(true)
			e.kept, e.seq = true, uint64(i+1)
		}
		m.index.entry.seq = 4
		for _, b := range [][]byte{one, two} {
			var e Event
			if cbor.Unmarshal(b, &e) != nil {
				continue
			}
			victims, _ := m.take(l, e) // any error is fine
			forget(victims)
		}
		for _, name := range []string{"web", "n"} {
			if s, _, _ := m.Service(t.Context(), "", name); s != nil {
				for _, i := range s.Instances {
					_ = i.Node.Name + i.Service.Name + string(i.Status())
				}
			}
		}
	})
}

// bareMirror is a mirror without goroutines, for one test.
func bareMirror(t testing.TB) *Mirror {
	cfg := DefaultMirrorConfig("dc1")
	cfg.Wait = time.Nanosecond
	m, err := NewMirror(cfg, MirrorDeps{Source: nobody{}, Budget: NewBudget(DefaultBudgetConfig()), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
