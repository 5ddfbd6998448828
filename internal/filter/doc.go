// Package filter applies the boolean expressions of ?filter to values, by the
// names that the values have in JSON.
//
// The language is go-bexpr's; this package bounds it, checks every selector
// against the type before the first value is looked at, and wraps nothing else.
package filter
