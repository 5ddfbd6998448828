package udp

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
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

	fds     [2]unix.PollFd
	timeout unix.Timespec
}

// message is a struct mmsghdr.
type message struct {
	hdr unix.Msghdr
	n   uint32
}

// NewBatch makes a Batch for what arrives at a socket.
func NewBatch(s *Socket) *Batch {
	b := &Batch{s: s}
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
	b.n, b.ready = 0, 0
	b.s.use.RLock()
	defer b.s.use.RUnlock()
	for i := range BatchSize {
		b.iovs[i].SetLen(Buffer)
		b.in[i].hdr.Namelen = unix.SizeofSockaddrInet6
		if b.in[i].hdr.Control != nil {
			b.in[i].hdr.SetControllen(originLen)
		}
	}
	for {
		if b.s.closed.Load() {
			return waited, net.ErrClosed
		}
		if d := b.s.deadline.Load(); d != 0 && time.Now().UnixNano() >= d {
			return waited, os.ErrDeadlineExceeded
		}
		// It never waits, so the scheduler need not know of it.
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(b.s.fd), uintptr(unsafe.Pointer(&b.in[0])), BatchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.n = int(n)
			for i := range b.n {
				if h := &b.in[i].hdr; h.Control != nil {
					b.peers[i].asked.received(h)
				}
			}
			return waited, nil
		case syscall.EAGAIN:
			waited = true
			if err := b.wait(); err != nil {
				return waited, err
			}
		case syscall.EINTR:
		default:
			return waited, errno
		}
	}
}

// wait sleeps until something has arrived, the socket has been stirred or its deadline
// is there.
func (b *Batch) wait() error {
	var timeout *unix.Timespec
	if d := b.s.deadline.Load(); d != 0 {
		b.timeout = unix.NsecToTimespec(max(0, d-time.Now().UnixNano()))
		timeout = &b.timeout
	}
	b.fds[0] = unix.PollFd{Fd: int32(b.s.fd), Events: unix.POLLIN}
	b.fds[1] = unix.PollFd{Fd: int32(b.s.wake), Events: unix.POLLIN}
	if _, err := unix.Ppoll(b.fds[:], timeout, nil); err != nil && err != unix.EINTR {
		return err
	}
	if b.fds[1].Revents != 0 {
		var said [8]byte
		_, _ = unix.Read(b.s.wake, said[:]) // it has been heard
	}
	return nil
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

// sendPatience is how long it is waited for a place in the system's queue. In the
// meantime the socket's own queue fills, and then the askers notice.
const sendPatience = 10 * time.Millisecond

// Flush sends the replies. Of those that cannot be sent nobody can be told; the askers
// try again.
func (b *Batch) Flush() {
	b.s.use.RLock()
	defer b.s.use.RUnlock()
	for sent := 0; sent < b.ready && !b.s.closed.Load(); {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.s.fd), uintptr(unsafe.Pointer(&b.out[sent])), uintptr(b.ready-sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
		case syscall.EAGAIN:
			b.fds[0] = unix.PollFd{Fd: int32(b.s.fd), Events: unix.POLLOUT}
			b.timeout = unix.NsecToTimespec(int64(sendPatience))
			if n, err := unix.Ppoll(b.fds[:1], &b.timeout, nil); n == 0 && err == nil {
				sent = b.ready
			}
		case syscall.EINTR:
		default:
			sent++ // this one cannot be sent; the others may
		}
	}
	b.ready = 0
}
