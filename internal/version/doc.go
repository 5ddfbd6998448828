// Package version says which version this binary is. It holds nothing else: the
// values are stamped by the linker (see the Makefile) and read by the version
// command, the banner, the gossip tags and the node's own metadata.
package version
