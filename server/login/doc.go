// Package login has the operations on auth methods and binding rules, and on who
// logs in and out by them.
//
// They are a part of server, in a package of their own: what all operations need
// comes from there as Deps.
package login
