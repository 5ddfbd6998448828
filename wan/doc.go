// Package wan is the pool of the servers of all datacenters. A server that has
// joined it brings the others of its datacenter along, and knows how far away
// each datacenter is. A datacenter that a person has removed stays away until a
// person joins it anew.
//
// It knows no clients, carries no calls, and does not choose whom to ask.
package wan
