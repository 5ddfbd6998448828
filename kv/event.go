package kv

import (
	"iter"
	"regexp"
	"strconv"
	"strings"

	"consul.internal/internal/fault"
)

// Event is a message of a user to the agents of a datacenter. Nobody keeps it but
// the agents that it was for, and they only the last few.
type Event struct {
	ID            string
	Name          string
	Payload       []byte `cbor:",omitempty"`
	NodeFilter    string `cbor:",omitempty"` // regular expression over the node's name
	ServiceFilter string `cbor:",omitempty"` // over the names of its services
	TagFilter     string `cbor:",omitempty"` // over the tags of such a service
	Version       int
	LTime         uint64 // Lamport time of the pool
}

// EventVersion is that of the events of this version.
const EventVersion = 1

// MaxEvent bounds an event as it goes over the network: it must fit a packet with others.
const MaxEvent = 512

// Filter is an event's filters, ready to be asked.
type Filter struct{ node, service, tag *regexp.Regexp }

// Filter compiles the event's filters. An error says which is wrong.
func (e *Event) Filter() (f Filter, err error) {
	if e.Name == "" {
		return f, fault.Newf(fault.Invalid, "Missing name")
	}
	if e.TagFilter != "" && e.ServiceFilter == "" {
		return f, fault.Newf(fault.Invalid, "Cannot provide tag filter without service filter")
	}
	for _, x := range []struct {
		what, text string
		into       **regexp.Regexp
	}{{"node", e.NodeFilter, &f.node}, {"service", e.ServiceFilter, &f.service}, {"tag", e.TagFilter, &f.tag}} {
		if x.text == "" {
			continue
		}
		if *x.into, err = regexp.Compile(x.text); err != nil {
			return f, fault.Newf(fault.Invalid, "Invalid %s filter: %w", x.what, err)
		}
	}
	return f, nil
}

// Keeps reports whether an event is for a node with services, names to tags.
func (f Filter) Keeps(node string, services iter.Seq2[string, []string]) bool {
	if f.node != nil && !f.node.MatchString(node) {
		return false
	}
	if f.service == nil {
		return true
	}
	for name, tags := range services {
		if !f.service.MatchString(name) {
			continue
		}
		if f.tag == nil {
			return true
		}
		for _, tag := range tags {
			if f.tag.MatchString(tag) {
				return true
			}
		}
	}
	return false
}

// Index is the number that stands for an event in blocking queries: its ID, a
// UUID, folded.
func (e *Event) Index() uint64 {
	hex := strings.ReplaceAll(e.ID, "-", "")
	if len(hex) != 32 {
		return 1
	}
	low, lowErr := strconv.ParseUint(hex[:16], 16, 64)
	high, highErr := strconv.ParseUint(hex[16:], 16, 64)
	if lowErr != nil || highErr != nil {
		return 1
	}
	return max(low^high, 1)
}
