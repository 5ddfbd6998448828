// Package view is the read model of a datacenter's catalog: who asks by name or
// address gets an immutable value and never waits for a writer.
//
// A Directory is fed with the catalog's batches of changes, in order, by one
// writer. It replaces exactly the names that a batch touches, and forgets a name
// that nothing uses any more. It does not decide who may see what, knows nothing
// of DNS, and never asks anybody: what it was not told, it does not know.
package view
