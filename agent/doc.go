// Package agent owns the services and checks of this machine.
//
// Local takes registrations from configuration files and over HTTP, keeps those
// over HTTP in the data directory, runs the checks, and holds maintenance mode.
// Its Syncer brings the servers' catalog to what Local holds: changes at once,
// and a full comparison now and then. A registration never waits for a server.
//
// The package is not the catalog: the serfHealth check and the service "consul"
// of a server belong to the leader and are neither listed nor touched here. It
// knows nothing of HTTP but the shapes of its bodies and answers.
package agent
