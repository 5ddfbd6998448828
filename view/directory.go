package view

import (
	"context"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"

	"consul.internal/catalog"
)

// Service is what is known of one service name. It is never changed.
type Service struct {
	Name      string              // as the first instance spells it, else its resolver
	Instances []*catalog.Instance // by node name, then service ID; at least one, but for a service that has rules
	Rules     *Rules              // whose instances the name stands for; nil: these
	Index     uint64              // of the batch that last changed it
}

// Node is what is known of one node name. It is never changed.
type Node struct {
	Node  *catalog.Node
	Index uint64 // of the batch that last changed it
}

// Address is who has an IP address as its own. It is never changed.
type Address struct {
	Nodes    []*catalog.Node     // by name
	Services []*catalog.Instance // that name the address themselves; by node name, then service ID
}

// Directory is the read model of one datacenter. The zero value is not usable;
// call NewDirectory.
type Directory struct {
	services table[string, Service]
	nodes    table[string, Node]
	addrs    table[netip.Addr, Address]
	index    atomic.Uint64
	ready    atomic.Bool
	known    known

	mu        sync.Mutex // held by Apply; guards what follows
	instances map[string]map[string]*catalog.Instance
	applied   chan struct{} // closed by the next Apply; nil when nobody waits
	told      listeners
}

// NewDirectory returns an empty directory that is not ready.
func NewDirectory() *Directory {
	return &Directory{instances: map[string]map[string]*catalog.Instance{}, known: newKnown()}
}

// Service returns what is known of a service, or nil. Name is folded.
func (d *Directory) Service(name string) *Service { return d.services.load(catalog.Fold(name)) }

// Node returns what is known of a node, or nil. Name is folded.
func (d *Directory) Node(name string) *Node { return d.nodes.load(catalog.Fold(name)) }

// Address returns who has the address, or nil.
func (d *Directory) Address(a netip.Addr) *Address { return d.addrs.load(a.Unmap().WithZone("")) }

// Services enumerates all services, in no order. What changes meanwhile may or
// may not be seen.
func (d *Directory) Services() iter.Seq[*Service] { return d.services.values() }

// Nodes enumerates all nodes, in no order, as Services does.
func (d *Directory) Nodes() iter.Seq[*Node] { return d.nodes.values() }

// Index is that of the last batch applied.
func (d *Directory) Index() uint64 { return d.index.Load() }

// Ready reports whether the directory is known to be whole (SetReady): before
// that, the absence of a name says nothing.
func (d *Directory) Ready() bool { return d.ready.Load() }

// SetReady says that everything that was known when the feed began has been
// applied, be it nothing.
func (d *Directory) SetReady() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ready.Store(true)
	d.wake()
}

// wake ends the waits for a batch. It is called with mu held.
func (d *Directory) wake() {
	if d.applied != nil {
		close(d.applied)
		d.applied = nil
	}
}

// WaitIndex returns when the batch of the index or a later one has been
// applied, or with the context's error.
func (d *Directory) WaitIndex(ctx context.Context, index uint64) error {
	for {
		d.mu.Lock()
		if d.index.Load() >= index {
			d.mu.Unlock()
			return nil
		}
		if d.applied == nil {
			d.applied = make(chan struct{})
		}
		applied := d.applied
		d.mu.Unlock()
		select {
		case <-applied:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
