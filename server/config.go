package server

import (
	"time"

	"consul.internal/configentry"
)

// Config of the operations.
type Config struct {
	Datacenter string
	// PrimaryDatacenter owns config entries; "" = this one.
	PrimaryDatacenter string
	// ConfigEntries are written by the primary's leader where they are not there.
	ConfigEntries []*configentry.Entry
	// RPCHoldTimeout bounds the wait for a majority: callers wait no longer for a leader.
	RPCHoldTimeout time.Duration
	// DefaultQueryTime and MaxQueryTime bound blocking reads.
	DefaultQueryTime time.Duration
	MaxQueryTime     time.Duration
	// SessionTTLMin is the shortest TTL of new sessions; 0 = kv.MinTTL. It is judged before the
	// log: sessions that are there already stay as they are.
	SessionTTLMin time.Duration
	// ACL is how access is controlled; the zero value lets everybody do everything.
	ACL ACL
}

const (
	// jitterFraction of its wait is added at random to a blocking read, so that
	// reads which began together do not come back together.
	jitterFraction = 16
)
