// Package httpapi is the HTTP edge: paths and parameters in, JSON out.
//
// It decides nothing about the catalog: every operation goes through an
// rpc.Caller or to the local agent. What it owns is the protocol: routes and
// their methods, query parameters, headers, statuses, limits on what is read.
//
// Every path stands in one table (routes.go); a path that is not there is a 404,
// a method that its row does not name is a 405.
package httpapi
