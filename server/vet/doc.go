// Package vet judges what the bearer of a token may see and do with what the state
// holds: it leaves out of answers what may not be seen, and refuses changes.
//
// It does not know who brings which token, and changes nothing.
package vet
