// Package tlsx turns the files and switches of a tls block into TLS settings
// that can be replaced while connections are open, and mints the certificates
// that such a block names.
//
// Each door (calls between agents, HTTPS, gRPC) has settings of its own. New
// loads and checks them all; Reload loads and checks the new ones and only then
// puts them in place, for handshakes from then on. Connections that stand keep
// what they agreed on.
//
// The package listens nowhere and dials nobody, knows nothing of what is said
// over a connection, and watches no files: whoever owns the configuration says
// when to load again.
package tlsx
