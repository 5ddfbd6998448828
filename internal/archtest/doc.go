// Package archtest holds the house rules that a compiler does not know: which
// package may import which, how large a thing may grow, and what is never
// written. It has no code, only tests; a breach fails the build.
package archtest
