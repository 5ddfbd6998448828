// Package dns holds the agent against the DNS programs that people have: what asks it,
// what forwards to it, and what takes its zone. Each test runs the real program from
// the machine beside a real agent on loopback, and is skipped where there is none. It is
// a module of its own so that the tests of everything do not run other people's
// programs. It is for tests only.
package dns
