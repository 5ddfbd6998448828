// Package inventory answers /v1/internal/ui: what there is on all nodes, whole and in
// numbers, for other web pages than our own. Our own make do with less.
package inventory
