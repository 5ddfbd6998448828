// Package transport is how raft speaks to other servers: over connections that
// name the server they want, through a door that the store can shut.
//
// It knows nothing of what the messages say, but which of them ask for votes.
package transport
