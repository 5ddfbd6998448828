// Package observe shows people which questions a DNS server is asked: the names that
// are asked for most, a stream of all messages (dnstap), and a log of some questions.
//
// It decides nothing about answers, and who answers never waits for it: what cannot
// be taken in time is dropped and counted. Its memory is bounded.
package observe
