// Package dnsserver answers the catalog's names over UDP and TCP.
//
// The server reads and checks messages, package zone makes the records, and the
// catalog comes from the Source that the server is given; it answers from memory
// or says SERVFAIL, and never makes an asker wait for another machine longer
// than its limits say. It is no resolver: names outside the zone are refused, or
// handed to package recurse where recursors are configured and the asker may ask.
package dnsserver
