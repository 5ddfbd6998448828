package view

import (
	"time"

	"consul.internal/catalog"
)

// Memory keeps what mirrors know beyond the end of the process. Its methods
// never wait, least of all for a disk.
type Memory interface {
	// Load returns what was kept of a datacenter.
	Load(datacenter string) []Record
	// Put keeps a record in the place of an earlier one of its name.
	Put(Record)
	// Drop forgets a name; with scrub, nothing of it may be left, and soon.
	Drop(datacenter string, s Subject, scrub bool)
}

// Record is a name as it was last known. It is never changed.
type Record struct {
	Datacenter string
	Subject    Subject
	Token      Token
	Changed    uint64           // index at which it last changed
	Learned    time.Time        // when it was known to be so
	Changes    []catalog.Change // what makes it out of nothing
}

// Sound reports whether a record that came from outside can be used.
func (r *Record) Sound() bool {
	if r.Datacenter == "" || !r.Subject.valid() || r.Subject.Kind == KindIndex || len(r.Changes) == 0 {
		return false
	}
	for _, c := range r.Changes {
		if !sound(c) || !belongs(c, r.Subject) || c.Op != catalog.NodeSet && c.Op != catalog.InstanceSet && c.Op != catalog.ResolverSet {
			return false
		}
	}
	return true
}

// held returns what a record says, or nil if it says nothing that can be.
func (r *Record) held() *held {
	if !r.Sound() {
		return nil
	}
	var none *held
	h := none.next(&Event{Subject: r.Subject, Token: r.Token, Reset: true, Changes: r.Changes}, nil, r.Learned)
	if h.absent() {
		return nil
	}
	if r.Changed != 0 {
		h.changed = r.Changed
	}
	return h
}

// record is what is held as a record.
func (h *held) record(datacenter string, s Subject) Record {
	return Record{datacenter, s, h.token, h.changed, h.asOf, h.changes()}
}

// forgetful is the Memory of a mirror that has none.
type forgetful struct{}

func (forgetful) Load(string) []Record       { return nil }
func (forgetful) Put(Record)                 {}
func (forgetful) Drop(string, Subject, bool) {}
