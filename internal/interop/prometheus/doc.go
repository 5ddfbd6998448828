// Package prometheus holds the agent against the service discovery of the real
// Prometheus, its own Go package. It is a module of its own so that what
// Prometheus needs stays out of the agent's go.mod. It is for tests only.
package prometheus
