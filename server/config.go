package server

import "time"

// Config of the operations.
type Config struct {
	Datacenter string
	// RPCHoldTimeout is how long an operation waits for a leader before it fails.
	RPCHoldTimeout time.Duration
	// DefaultQueryTime and MaxQueryTime bound blocking reads.
	DefaultQueryTime time.Duration
	MaxQueryTime     time.Duration
}

const (
	// holdPause is how often an operation without a leader tries again: short
	// against an election (about a second), long against the cost of asking.
	holdPause = 25 * time.Millisecond
	// jitterFraction of its wait is added at random to a blocking read, so that
	// reads which began together do not come back together.
	jitterFraction = 16
)
