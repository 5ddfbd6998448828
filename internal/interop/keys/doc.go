// Package keys holds the agent's keys, sessions and locks against programs of
// other people that live on them: Patroni with PostgreSQL, python-consul, the
// npm package consul, and libkv's way to elect a leader. It is a module of its
// own, as its tests want programs that a machine need not have. It is for tests only.
package keys
