// Package metrics counts, times and gauges what an agent does, and shows it as
// JSON of the last ten seconds and as Prometheus text since the start.
//
// A Registry is passed in; there is no global one. Libraries that write to the
// process-wide default of go-metrics reach a registry through Sink, which the
// owner of the process puts there. The package knows no HTTP and sends nothing
// anywhere.
package metrics
