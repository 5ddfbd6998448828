// Package limit bounds how many requests a server performs, in all and for each
// source, and how many an agent makes.
//
// It counts operations of the contract, whichever way they come. Connections are
// package door's, and what DNS answers from memory is counted by nobody here.
package limit
