// Package recurse asks other DNS servers for names outside the zone, and
// remembers what they said.
//
// It forwards: each question goes to one upstream server after another until one
// gives an answer. It is no resolver of its own (it knows no root servers and
// follows no referrals), and it does not decide what a message to an asker looks
// like: that, and its size, is the business of package dnsserver.
package recurse
