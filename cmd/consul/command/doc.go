// Package command is the frame of the command line: a command with its flags,
// its help, the client that it asks an agent with, and what it prints with.
//
// No command is made here; those of a family stand together in a package beside
// this one.
package command
