// Package doctor has the command that looks at a machine, its configuration and,
// where one runs, its agent, and names what is wrong together with the cure.
//
// It changes nothing: every finding is told, none is mended.
package doctor
