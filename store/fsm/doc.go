// Package fsm turns the log into the state: the commands that stand in the log, how
// they are applied, and the state as bytes in snapshots.
//
// It reads no clock and no configuration, so that the same entries make the same
// state on every server. It knows nothing of who leads or where the log is kept.
package fsm
