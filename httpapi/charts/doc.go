// Package charts leads to charts that others draw: a link to the dashboard of a
// service, and /v1/internal/ui/metrics-proxy, which passes requests on to what the
// metrics are kept in.
//
// It draws nothing, and knows nothing of the language that those requests are in.
package charts
