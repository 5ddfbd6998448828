// Package roster is what the pools of agents have in common, that of a
// datacenter and that of all servers: what an agent says of itself in its tags,
// how that is read and judged, and how a pool is looked for until it is found.
//
// It has no pool of its own; packages lan and wan do.
package roster
