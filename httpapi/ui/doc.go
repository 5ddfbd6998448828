// Package ui is the web interface of an agent: pages rendered here, with what the
// bearer of the visitor's token may see, and nothing else in the browser than a style
// sheet and a few small scripts of our own.
//
// It keeps nothing and decides nothing: each page is made of the same operations that
// the HTTP API performs, through the same Caller, judged by the same rights.
//
// A page stays up to date by being asked for again: its script names what it shows
// by a sum, and the answer waits until the page would come out differently (live.go).
package ui
