// Package memnet is a lossy network in memory, for tests. Hosts with addresses
// listen, dial and exchange packets; rules between two hosts, each direction
// for itself, delay, lose, cut or refuse what they send, and may change at any
// time. It has no goroutines and no sockets: whoever waits, waits on a channel
// and a timer, so that in a testing/synctest bubble an hour passes at once.
//
// A stream behaves as TCP would as far as a program can see it: data stay in
// order and are never lost, only late (by the retransmissions that the loss
// would cost); a cut in either direction stalls both, since acknowledgements do
// not pass; after it data flow again at the next retransmission of a timer that
// doubles; buffers are bounded, so that a reader who does not read stops the
// writer; half close, reset and refusal have the errors of the kernel.
//
// It is not a model of bandwidth or congestion, knows no keepalive and no user
// timeout (a stalled stream stalls until its deadline), and resolves no names.
//
// The same seed gives each direction of each pair the same sequence of losses
// and jitter, whatever the other pairs do.
package memnet
