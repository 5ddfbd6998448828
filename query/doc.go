// Package query holds the nouns and pure rules of prepared queries: what a
// definition says, when it is wrong, how a template becomes a query for a name,
// which instances a query keeps, and where it looks when the own datacenter has
// none.
//
// It looks nothing up: definitions, instances and the names of datacenters are
// given to it. It does no I/O and reads no clock.
package query
