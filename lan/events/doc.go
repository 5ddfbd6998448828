// Package events has the events of users on their way through the pool of a
// datacenter: as bytes, and in the ring of the last ones that each agent keeps.
//
// It sends nothing: a server hands the bytes to the pool. What events mean, and
// whom they are for, is in kv.
package events
