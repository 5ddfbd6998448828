// Package snapfile is the form in which a snapshot leaves a server: a gzipped tar
// of meta.json, state.bin and SHA256SUMS. It writes and checks that archive, and
// reads the records of the state inside.
//
// It knows nothing of what the records mean, and does not restore anything.
// Whatever reads an archive gets nothing of it before all of it has been checked.
package snapfile
