// Package wire carries all that agents say to a server over one TCP port: calls,
// and raft between servers, plain or in TLS. The first byte of a connection says
// which it is.
//
// A connection is judged before anything of it is decoded: how many there are
// from its address, whether its first byte comes in time, whether TLS was needed
// and the certificate is good. A raft stream must besides come from a server of
// this datacenter, and begins with a hello that names the cluster and the node
// that is meant: after all servers changed their addresses, nobody joins a
// stranger's raft by accident.
//
// The package knows neither raft's messages nor those of calls, retries nothing
// and keeps no connections: it hands them out, and whoever took one closes it.
package wire
