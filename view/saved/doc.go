// Package saved keeps on disk what an agent's mirrors know, so that names are
// answered again after a restart without any server.
//
// It is not a store: the newest second may be lost, and a file that is damaged
// loses what is damaged and nothing else. It knows nothing of servers.
package saved
