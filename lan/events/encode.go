package events

import (
	"encoding/hex"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"consul.internal/internal/fault"
	"consul.internal/kv"
)

// prefix keeps users' events apart from whatever else the pool may carry.
const prefix = "user:"

// packed is an event as it goes over the network, in short: it must fit a packet.
type packed struct {
	ID      []byte `cbor:"i"`
	Payload []byte `cbor:"p,omitempty"`
	Node    string `cbor:"n,omitempty"`
	Service string `cbor:"s,omitempty"`
	Tag     string `cbor:"t,omitempty"`
	Version int    `cbor:"v"`
}

// Encode makes an event's name and payload for the pool.
func Encode(e *kv.Event) (name string, payload []byte, err error) {
	id, err := hex.DecodeString(strings.ReplaceAll(e.ID, "-", ""))
	if err != nil || len(id) != 16 {
		return "", nil, fault.Newf(fault.Invalid, "the event's ID %q is not a UUID", e.ID)
	}
	name = prefix + e.Name
	payload, err = cbor.Marshal(packed{ID: id, Payload: e.Payload, Node: e.NodeFilter, Service: e.ServiceFilter, Tag: e.TagFilter, Version: e.Version})
	if err != nil {
		return "", nil, fault.With(fault.Invalid, err)
	}
	if n := len(name) + len(payload); n > kv.MaxEvent {
		return "", nil, fault.Newf(fault.Invalid, "user event exceeds limit of %d bytes: it has %d", kv.MaxEvent, n)
	}
	return name, payload, nil
}

// Decode reads what the pool brought; ok is false if it is no event of a user.
func Decode(name string, payload []byte, ltime uint64) (e *kv.Event, ok bool) {
	name, ok = strings.CutPrefix(name, prefix)
	if !ok || len(payload) > kv.MaxEvent {
		return nil, false
	}
	var p packed
	if err := cbor.Unmarshal(payload, &p); err != nil || len(p.ID) != 16 {
		return nil, false
	}
	id := hex.EncodeToString(p.ID)
	return &kv.Event{
		ID:   strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-"),
		Name: name, Payload: p.Payload, NodeFilter: p.Node, ServiceFilter: p.Service, TagFilter: p.Tag,
		Version: p.Version, LTime: ltime,
	}, true
}
