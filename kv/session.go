package kv

import (
	"slices"
	"strings"
	"time"

	"consul.internal/internal/fault"
)

// Session is a lease on locks: it ends with its node, with one of its checks, or
// when nobody renews it in time.
type Session struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration // nanoseconds, as clients read it
	Behavior      Behavior
	TTL           string   // duration, "" = it needs no renewing
	NodeChecks    []string // check IDs
	ServiceChecks []ServiceCheck
	CreateIndex   uint64
	ModifyIndex   uint64
}

// ServiceCheck names a check of a service that a session hangs on.
type ServiceCheck struct {
	ID        string
	Namespace string `json:",omitempty" cbor:",omitempty"`
}

// Behavior is what becomes of a session's keys when it ends.
type Behavior string

// The behaviours.
const (
	Release       Behavior = "release" // they lose their lock
	DeleteEntries Behavior = "delete"  // they are deleted
)

// Known bounds of sessions.
const (
	// MinTTL is the shortest TTL that a server takes if nobody says otherwise (session_ttl_min).
	MinTTL = 10 * time.Second
	// LeastTTL is the shortest that a server can be told to take: the ends of leases are
	// written through the log, and who renews more often than that is a load on its own. The log
	// itself judges by this one, which is the same on every server and at every replay.
	LeastTTL = time.Second
	MaxTTL   = 24 * time.Hour
	// MaxLockDelay cuts longer ones.
	MaxLockDelay = time.Minute
	// DefaultLockDelay of sessions that name none.
	DefaultLockDelay = 15 * time.Second
	// TTLFactor times its TTL after the last renewal a session ends: a TTL is a lower
	// bound, and clients halve what they mean.
	TTLFactor = 2
)

// Validate checks what can be judged without the state, and fills in what may be left
// out. A TTL must not be shorter than least.
func (s *Session) Validate(least time.Duration) error {
	switch s.Behavior {
	case "":
		s.Behavior = Release
	case Release, DeleteEntries:
	default:
		return fault.Newf(fault.Invalid, "Invalid Behavior setting '%s'", s.Behavior)
	}
	if s.LockDelay < 0 {
		return fault.Newf(fault.Invalid, "Invalid LockDelay '%s': it must not be negative", s.LockDelay)
	}
	if s.Node == "" {
		return fault.Newf(fault.Invalid, "Must provide Node")
	}
	if strings.IndexByte(s.Node, 0) >= 0 {
		return fault.Newf(fault.Invalid, "node name %q holds a NUL byte", s.Node)
	}
	if s.TTL == "" {
		return nil
	}
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil {
		return fault.Newf(fault.Invalid, "Session TTL '%s' invalid: %w", s.TTL, err)
	}
	if ttl != 0 && (ttl < least || ttl > MaxTTL) {
		return fault.Newf(fault.Invalid, "Invalid Session TTL '%d', must be between [%v=%v]", ttl, least, MaxTTL)
	}
	return nil
}

// Lease is the session's TTL, 0 if it needs no renewing.
func (s *Session) Lease() time.Duration {
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil || ttl < 0 {
		return 0
	}
	return ttl
}

// Delay is for how long nobody may lock what the session held.
func (s *Session) Delay() time.Duration { return max(0, min(s.LockDelay, MaxLockDelay)) }

// HangsOn reports whether the session ends with a check of its node. same tells
// whether two check IDs are the same.
func (s *Session) HangsOn(check string, same func(a, b string) bool) bool {
	return slices.ContainsFunc(s.NodeChecks, func(id string) bool { return same(id, check) }) ||
		slices.ContainsFunc(s.ServiceChecks, func(c ServiceCheck) bool { return same(c.ID, check) })
}

// Checks are the IDs of all checks that the session hangs on.
func (s *Session) Checks() []string {
	out := slices.Clone(s.NodeChecks)
	for _, c := range s.ServiceChecks {
		out = append(out, c.ID)
	}
	return out
}
