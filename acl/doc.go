// Package acl holds the rules of access: what policies say, in the language that
// people know, and the pure decision that follows from several of them.
//
// Who has which token it learns from others: a Resolver asks them, and remembers what
// they said for as long as the configuration allows. It stores nothing.
package acl
