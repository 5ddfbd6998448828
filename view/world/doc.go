// Package world puts the views of all datacenters side by side: a question goes to
// the own datacenter's view or to the mirror of the one that it names. The mirror
// of a datacenter is made at the first question, or at once where the agent is
// told to, and ends when the datacenter is no more.
//
// It does not know how servers are found or reached, and answers no DNS.
package world
