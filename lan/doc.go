// Package lan is the pool of one datacenter: every agent, server or client, is a
// member of it and finds the others by itself. It knows what the members' tags
// say (datacenter, role, node ID, ports, versions), admits nobody whose tags do
// not fit, and keeps trying to join until the pool is found.
//
// It neither keeps the catalog nor decides who votes; it reports who is there.
package lan
