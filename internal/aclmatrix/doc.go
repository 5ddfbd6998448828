// Package aclmatrix reads tables that say which rights an operation takes, and makes
// tokens' rules out of rights, one at a time. It is for tests alone: those that
// perform every operation with every right and without any.
//
// It decides nothing: what a token may do is told by package acl, which is what the
// tests compare with the tables.
package aclmatrix
