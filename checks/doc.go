// Package checks runs health checks and reports their results to a Sink.
//
// It knows what a check is (Definition), how each kind is probed, and when:
// a Runner keeps one timer for each check and a bounded number of probes under
// way. It is not a store: what the state of a check is, whether it is persisted
// and who is told of it is the business of whoever holds the Sink.
package checks
