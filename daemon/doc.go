// Package daemon builds, opens and closes one agent process out of its settings.
//
// It joins the parts and decides their order; what they do is theirs. Nothing
// here knows of signals, terminals or exit codes.
package daemon
