// Package transfer gives the zone whole to other name servers: AXFR (RFC 5936), IXFR
// (RFC 1995) out of a ring of recent changes, NOTIFY (RFC 1996) when it has changed,
// and TSIG (RFC 8945) on all of it.
//
// It keeps the records of every name beside the views, made by the very rules that
// answer questions, and follows the state batch by batch. A transfer reads one
// version of them, whatever changes meanwhile. It does nothing until it is configured.
//
// It is no secondary: it takes no transfers and no NOTIFY.
package transfer
