// Package definition is what users write about services, checks and watches: the
// shapes of their blocks in configuration files, and how these become what the agent
// takes. All mistakes are gathered, each with its place. What a kind of check or of
// watch needs is known to the packages checks and watch, not here.
package definition
