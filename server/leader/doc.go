// Package leader holds the duties of a datacenter's leader as plain functions of
// the leadership context: each ends with it, and begins anew with the next.
//
// Its duty so far is to keep the catalog and raft's servers in step with the
// members of the pool. It does not elect, and it does not know how members are
// found.
package leader
