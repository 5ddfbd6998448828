// Package federation knows whom to ask. Its Router is the rpc.Caller and
// rpc.Streamer of every agent: on a server it asks the server in the process
// first, then the leader, then any other server that may reach the leader; on a
// client it asks a preferred server, and the next one when that fails. It waits
// for a leader, within limits, and tries again what may be tried again.
//
// What is for another datacenter a client gives to its own servers, and a server
// to one of that datacenter: the nearest that answers, or, where none does, to
// another server that may reach one.
//
// It does not find servers (it is told, SetServers) and performs nothing itself.
package federation
