// Package leader holds the duties of a datacenter's leader as plain functions of
// the leadership context: each ends with it, and begins anew with the next.
//
// Its only duty so far is to keep the catalog in step with the members of the
// pool. It does not elect, and it does not know how members are found.
package leader
