// Package filewatch tells when files have changed, by looking at them now and
// then. It does not read them.
package filewatch
