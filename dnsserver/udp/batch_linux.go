package udp

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Batch is the datagrams that are read from a socket at a time, and their replies. It
// belongs to one goroutine. Nothing of it allocates.
type Batch struct {
	s *Socket
	n int // datagrams in it

	in, out [BatchSize]message
	iovs    [BatchSize]unix.Iovec // of in and out alike: a reply takes the place of its query
	peers   [BatchSize]peer
	bufs    [BatchSize][]byte
	ready   int // replies in it
	sent    int

	waited bool // there was nothing to read at first
	errno  syscall.Errno

	// The methods as values, made once.
	receiving, sending func(fd uintptr) bool
}

// message is a struct mmsghdr.
type message struct {
	hdr unix.Msghdr
	n   uint32
}

// NewBatch makes a Batch for what arrives at a socket.
func NewBatch(s *Socket) *Batch {
	b := &Batch{s: s}
	b.receiving, b.sending = b.receive, b.send
	mem := make([]byte, BatchSize*Buffer)
	for i := range BatchSize {
		b.bufs[i] = mem[i*Buffer : (i+1)*Buffer]
		b.iovs[i].Base = &b.bufs[i][0]
		for _, m := range []*message{&b.in[i], &b.out[i]} {
			m.hdr.Iov = &b.iovs[i]
			m.hdr.SetIovlen(1)
			m.hdr.Name = (*byte)(unsafe.Pointer(&b.peers[i].name))
			if s.wildcard {
				m.hdr.Control = &b.peers[i].asked.control[0]
			}
		}
	}
	return b
}

// Read fills the batch with what has arrived, and waits for it if there is nothing:
// waited tells. What was in it before is gone.
func (b *Batch) Read() (waited bool, err error) {
	b.n, b.ready, b.errno, b.waited = 0, 0, 0, false
	for i := range BatchSize {
		b.iovs[i].SetLen(Buffer)
		b.in[i].hdr.Namelen = unix.SizeofSockaddrInet6
		if b.in[i].hdr.Control != nil {
			b.in[i].hdr.SetControllen(originLen)
		}
	}
	err = b.s.read(b.receiving)
	if err == nil && b.errno != 0 {
		err = b.errno
	}
	for i := range b.n {
		if h := &b.in[i].hdr; h.Control != nil {
			b.peers[i].asked.received(h)
		}
	}
	return b.waited, err
}

// receive takes what there is; it is not done where that is nothing. The system call
// never waits, so the scheduler need not know of it.
func (b *Batch) receive(fd uintptr) (done bool) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.in[0])), BatchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.n = int(n)
			return true
		case syscall.EAGAIN:
			b.waited = true
			return false
		case syscall.EINTR:
		default:
			b.errno = errno
			return true
		}
	}
}

// Len is how many datagrams the batch has.
func (b *Batch) Len() int { return b.n }

// Query is a datagram, without what did not fit its buffer.
func (b *Batch) Query(i int) []byte { return b.bufs[i][:min(b.in[i].n, Buffer)] }

// Buffer is where a datagram is, and its reply will be.
func (b *Batch) Buffer(i int) []byte { return b.bufs[i] }

// From is who sent a datagram.
func (b *Batch) From(i int) netip.AddrPort { return b.peers[i].addr() }

// Asked is the address that a datagram was sent to, for Socket.Write.
func (b *Batch) Asked(i int) Origin { return b.peers[i].asked }

// Reply says that the first n bytes of a datagram's buffer are its reply.
func (b *Batch) Reply(i, n int) {
	out := &b.out[b.ready].hdr
	b.iovs[i].SetLen(n)
	out.Iov, out.Name, out.Namelen = &b.iovs[i], b.in[i].hdr.Name, b.in[i].hdr.Namelen
	if out.Control != nil {
		out.Control = &b.peers[i].asked.control[0]
		out.SetControllen(int(b.peers[i].asked.n))
	}
	b.ready++
}

// Flush sends the replies. Of those that cannot be sent nobody can be told; the askers
// try again.
func (b *Batch) Flush() {
	if b.ready > 0 {
		b.sent = 0
		b.s.write(b.sending)
	}
	b.ready = 0
}

// send sends what is left; it is not done where the system takes no more now.
func (b *Batch) send(fd uintptr) (done bool) {
	for b.sent < b.ready {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.out[b.sent])), uintptr(b.ready-b.sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.sent += int(n)
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			b.sent++ // this one cannot be sent; the others may
		}
	}
	return true
}
