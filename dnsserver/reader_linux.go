package dnsserver

import (
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reader takes datagrams from a socket by the batch, and sends replies by the
// batch (recvmmsg, sendmmsg). It waits in the runtime's network poller like every
// other reader, so that deadlines and Close work; only the system calls are its
// own, since those of package net cost more than the answer does.
type reader struct {
	s     *Server
	c     *net.UDPConn
	raw   syscall.RawConn // nil where the socket has none
	clerk *clerk

	in, out [batch]message
	iovs    [batch]unix.Iovec // of in and out alike: a reply takes the place of its query
	names   [batch]unix.RawSockaddrInet6
	bufs    [batch][]byte
	queries [batch][]byte // the parts of bufs that were read

	n     int // datagrams in the batch
	errno syscall.Errno
	ready int // replies in the batch
	sent  int

	// The methods as values, made once: they are passed to the poller each time.
	receiving, sending func(fd uintptr) bool
}

// message is a struct mmsghdr.
type message struct {
	hdr unix.Msghdr
	n   uint32
}

func newReader(s *Server, c *net.UDPConn) *reader {
	r := &reader{s: s, c: c, clerk: newClerk(s)}
	r.raw, _ = c.SyscallConn() // cannot fail for a socket that is open
	mem := make([]byte, batch*udpBuffer)
	for i := range batch {
		r.bufs[i] = mem[i*udpBuffer : (i+1)*udpBuffer]
		r.iovs[i].Base = &r.bufs[i][0]
		for _, m := range []*message{&r.in[i], &r.out[i]} {
			m.hdr.Iov = &r.iovs[i]
			m.hdr.SetIovlen(1)
			m.hdr.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		}
	}
	r.receiving, r.sending = r.receive, r.send
	return r
}

// read takes a batch, answers what the fast path can, and has the rest answered.
func (r *reader) read() error {
	if err := r.raw.Read(r.receiving); err != nil {
		return err
	}
	if r.errno != 0 {
		return r.errno
	}
	r.s.count.udp.Add(uint64(r.n))
	r.answer()
	if r.ready > 0 {
		r.sent = 0
		_ = r.raw.Write(r.sending) // nobody can be told; the askers try again
	}
	// A loop that always finds something to read would keep others from this CPU
	// for as long as the scheduler's time slice: raft and gossip among them.
	runtime.Gosched()
	return nil
}

// receive fills the batch. The socket never blocks, so the scheduler need not know
// of the system call.
func (r *reader) receive(fd uintptr) bool {
	for i := range batch {
		r.iovs[i].SetLen(udpBuffer)
		r.in[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.in[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.n, r.errno = int(n), 0
			return true
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			r.n, r.errno = 0, errno
			return true
		}
	}
}

// answer puts what the fast path can answer among the replies.
func (r *reader) answer() {
	r.ready = 0
	for i := range r.n {
		r.queries[i] = r.bufs[i][:r.in[i].n]
	}
	done := 0
	if r.s.fast != nil {
		done = r.quick()
	}
	// What is left of the batch after a bug, or where there is no fast path.
	for i := done; i < r.n; i++ {
		r.s.takeUDP(r.c, r.from(i), r.queries[i])
	}
}

// quick answers the batch by the fast path and leaves to the full path what it
// cannot. It returns how many of the queries have been dealt with.
func (r *reader) quick() (done int) {
	defer func() {
		if v := recover(); v != nil {
			r.s.panicked(v)
		}
	}()
	c := r.clerk
	c.read(r.queries[:r.n])
	recursion := r.s.recursor.On()
	for i := range r.n {
		var who asker
		if recursion {
			who.addr = r.from(i).Addr().Unmap() // else nothing depends on it
		}
		n := c.answer(i, r.bufs[i], who)
		done = i + 1
		if n == 0 {
			r.s.takeUDP(r.c, r.from(i), r.queries[i])
			continue
		}
		out := &r.out[r.ready].hdr
		r.iovs[i].SetLen(n)
		out.Iov, out.Name, out.Namelen = &r.iovs[i], r.in[i].hdr.Name, r.in[i].hdr.Namelen
		r.ready++
	}
	c.tally.flush(r.s, c.now, r.n)
	return done
}

// send sends the replies.
func (r *reader) send(fd uintptr) bool {
	for r.sent < r.ready {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&r.out[r.sent])), uintptr(r.ready-r.sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.sent += int(n)
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
		default:
			r.sent++ // this one cannot be sent; the others may
		}
	}
	return true
}

// from is who sent a query of the batch.
func (r *reader) from(i int) netip.AddrPort {
	name := &r.names[i]
	port := (*[2]byte)(unsafe.Pointer(&name.Port))
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), binary.BigEndian.Uint16(port[:]))
	}
	a := netip.AddrFrom16(name.Addr)
	if name.Scope_id != 0 {
		a = a.WithZone(strconv.FormatUint(uint64(name.Scope_id), 10))
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port[:]))
}
