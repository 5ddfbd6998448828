//go:build race

package daemon_test

// underRace makes the cluster tests smaller: the detector costs five to ten times
// the time, and what they look for besides races is found without it.
const underRace = true
