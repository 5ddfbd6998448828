// Package udp has sockets whose datagrams are read and sent by the batch, and whose
// replies leave from the address that was asked.
//
// On Linux a Socket may stand apart from the runtime's network poller. That is told of
// each datagram that arrives: while one thread answers, another that has nothing to do
// sleeps in the poller and is woken for every one of them, in vain. That was a
// quarter of what a DNS answer costs. Besides, the poller is looked at only where no
// goroutine wants the processor, or each ten milliseconds. Who reads a socket apart
// waits in the system itself, once nothing is left. For as long as he waits a short time,
// other goroutines do not get his processor, so that there must be another one.
//
// The package knows nothing of what is in a datagram.
package udp

const (
	// BatchSize is how many datagrams are taken from a socket at a time: more save
	// next to nothing.
	BatchSize = 32
	// Buffer holds a datagram and then its reply: DNS queries are far smaller. What is
	// longer is cut off.
	Buffer = 4096
)
