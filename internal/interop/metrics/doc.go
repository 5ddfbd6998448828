// Package metrics holds the agent against the Prometheus that people install: promtool
// judges the alerts and what the agent shows, and prometheus scrapes an agent, follows
// its catalog and evaluates the alerts. The tests are skipped where there is none. It is
// a module of its own so that the tests of everything do not run other people's
// programs. It is for tests only.
package metrics
