package zone

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"sync"

	"consul.internal/view"
)

// Looked is something that an answer is made of.
type Looked struct {
	Kind       string
	Datacenter string
	Name       string
	Source     string // what keeps it up to date
	Index      uint64
	Stale      bool
	AgeMillis  int64 // how long ago it was certainly right; 0 is now
	Error      string
}

// Witness is a source that notes what it is asked.
type Witness struct {
	Source
	Own   string        // datacenter
	Views []Looked      // in the order of the questions
	First *view.Service // the first service that was asked for
	asked bool
	mu    sync.Mutex // several may be asked for at once
}

func (w *Witness) note(kind, dc, name string, st view.State, err error) {
	v := Looked{Kind: kind, Datacenter: dc, Name: name, Index: st.Index, Stale: st.Stale, AgeMillis: st.Age.Milliseconds()}
	if dc == "" {
		v.Datacenter = w.Own
	}
	switch {
	case err != nil:
		v.Error = err.Error()
	case st.Session == 0 && st.From == "":
		v.Source = "memory alone: nobody keeps it up to date now"
	case st.Session == 0 || st.Stale:
		v.Source = "memory alone: nobody keeps it up to date now; last " + st.From
	default:
		v.Source = cmp.Or(st.From, fmt.Sprintf("changes are pushed (session %d)", st.Session))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Views = append(w.Views, v)
}

// Service implements Source.
func (w *Witness) Service(ctx context.Context, dc, name string) (*view.Service, view.State, error) {
	v, st, err := w.Source.Service(ctx, dc, name)
	w.note("service", dc, name, st, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.asked {
		w.First, w.asked = v, true
	}
	return v, st, err
}

// Node implements Source.
func (w *Witness) Node(ctx context.Context, dc, name string) (*view.Node, view.State, error) {
	v, st, err := w.Source.Node(ctx, dc, name)
	w.note("node", dc, name, st, err)
	return v, st, err
}

// Address implements Source.
func (w *Witness) Address(ctx context.Context, dc string, a netip.Addr) (*view.Address, view.State, error) {
	v, st, err := w.Source.Address(ctx, dc, a)
	w.note("address", dc, a.String(), st, err)
	return v, st, err
}
