// Package federation knows whom to ask. Its Router is the rpc.Caller and
// rpc.Streamer of every agent: on a server it asks the server in the process
// first, then the leader, then any other server that may reach the leader; on a
// client it asks a preferred server, and the next one when that fails. It waits
// for a leader, within limits, and tries again what may be tried again.
//
// It does not find servers (it is told, SetServers), performs nothing itself, and
// knows no other datacenter's servers yet: a call for one has no path.
package federation
