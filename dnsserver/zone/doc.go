// Package zone turns a DNS question into the records that answer it.
//
// Everything here is a function of the question, the options and what a Source
// says: no sockets, no clock, no state. Parse reads a name, Zone.Answer makes
// the records, Fit cuts a message to what the asker can take. Message headers,
// EDNS and transport belong to the server around it.
package zone
