// Package catalog holds the nouns of service discovery (nodes, services, checks,
// and an Instance that joins the three) and the pure rules over them.
//
// Values that came out of the state or a view are shared between goroutines and
// never changed; whoever wants another value copies first. The package does no
// I/O, keeps no state and reads no clock.
//
// JSON tags are the HTTP API's; the official client's types are held against
// them in tests.
package catalog
