// Package edge is what the handlers of the HTTP edge have in common: requests to
// parameters, values and errors to answers, and how a route is written down.
//
// It answers nothing itself and knows no path. Handlers stand in httpapi or, a
// noun that grows, in a package below httpapi; each gives its routes as a table:
//
//	func Routes(b *edge.Base) []edge.Route
package edge
