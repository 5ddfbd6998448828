// Package acl holds the rules of access: what policies say, in the language that
// people know, and the pure decision that follows from several of them.
//
// It stores nothing, asks nobody and knows no clock; who has which token is the
// business of others, and so is what a refusal looks like to them.
package acl
