// Package view is the read model of a datacenter's catalog: who asks by name or
// address gets an immutable value and never waits for a writer.
//
// A Directory is fed with the catalog's batches of changes, in order, by one
// writer. It replaces exactly the names that a batch touches, and forgets a name
// that nothing uses any more. On a server it holds everything.
//
// A Feed offers a server's Directory to followers: each session asks for
// subjects and gets what they are, then what changes, and a heartbeat. A Mirror
// follows the names that it is asked for through a Source, which gives it
// sessions, and goes on answering from memory when there is none. Which server a
// session is with, and how it is reached, is the Source's business.
//
// The package does not decide who may see what, and knows nothing of DNS.
package view
