// Package tokens holds the tokens that an agent has for itself, as its configuration
// and its API give them, and keeps those of the API on disk where that is asked for.
//
// It does not know what a token may do.
package tokens
