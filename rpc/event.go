package rpc

import "consul.internal/kv"

// EventFire has a server send an event to its datacenter's pool.
var EventFire = Method[EventFireRequest, EventFireReply]{Name: "Event.Fire"}

// EventFireRequest is an event without an ID.
type EventFireRequest struct {
	Target
	Event kv.Event
}

// EventFireReply is the event as it was sent.
type EventFireReply struct{ Event kv.Event }
