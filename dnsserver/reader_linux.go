package dnsserver

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
	"time"
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
	peers   [batch]peer
	bufs    [batch][]byte
	queries [batch][]byte // the parts of bufs that were read

	got   got
	ready int // replies in the batch
	sent  int

	// The methods as values, made once: they are passed to the poller each time.
	receiving, sending func(fd uintptr) bool
}

// got is what reading has brought.
type got struct {
	n      int // datagrams in the batch
	errno  syscall.Errno
	waited bool      // there was nothing to read at first
	since  time.Time // when it was last the others' turn
}

// peer is who sent a datagram, and to which of our addresses.
type peer struct {
	name  unix.RawSockaddrInet6
	asked origin
}

// message is a struct mmsghdr.
type message struct {
	hdr unix.Msghdr
	n   uint32
}

// originLen has room for the longer of a struct in_pktinfo and in6_pktinfo with its
// header.
const originLen = unix.SizeofCmsghdr + unix.SizeofInet6Pktinfo + 4

// origin is the address that a datagram was sent to, as a control message. It goes
// back with the reply, which so leaves from there.
type origin struct {
	control [originLen]byte
	n       uint8
}

// received takes the length from a message that has been read.
func (o *origin) received(h *unix.Msghdr) {
	o.n = 0
	const index4, index6 = unix.SizeofCmsghdr, unix.SizeofCmsghdr + 16 // of the interface, after the address in IPv6
	if h.Flags&unix.MSG_CTRUNC != 0 || h.Controllen < unix.SizeofCmsghdr || int(h.Controllen) > originLen {
		return
	}
	o.n = uint8(h.Controllen)
	c := (*unix.Cmsghdr)(unsafe.Pointer(&o.control[0]))
	// The reply takes whatever way leads to the asker, not that of the question.
	switch {
	case c.Level == unix.IPPROTO_IP && c.Type == unix.IP_PKTINFO && o.n >= index4+4:
		clear(o.control[index4 : index4+4])
	case c.Level == unix.IPPROTO_IPV6 && c.Type == unix.IPV6_PKTINFO && o.n >= index6+4:
		clear(o.control[index6 : index6+4])
	default:
		o.n = 0
	}
}

// write sends a reply from the address.
func (o *origin) write(c *net.UDPConn, resp []byte, to netip.AddrPort) error {
	_, _, err := c.WriteMsgUDPAddrPort(resp, o.control[:o.n], to)
	return err
}

// wildcard reports whether a socket is bound to all addresses of a family.
func wildcard(c *net.UDPConn) bool {
	a, ok := c.LocalAddr().(*net.UDPAddr)
	return ok && a.IP.IsUnspecified()
}

// tellAsked has the system say of each datagram which address it was sent to, where
// that is not plain. Else replies leave from the address that the machine likes
// best, and askers ignore them.
func tellAsked(c *net.UDPConn) error {
	if !wildcard(c) {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		family, e := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		switch {
		case e != nil:
			set = e
		case family == unix.AF_INET6: // IPv4 too, where the socket takes both
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		default:
			set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	})
	return errors.Join(err, set)
}

func newReader(s *Server, c *net.UDPConn) *reader {
	r := &reader{s: s, c: c, clerk: newClerk(s)}
	r.raw, _ = c.SyscallConn() // cannot fail for a socket that is open
	told := wildcard(c)
	mem := make([]byte, batch*udpBuffer)
	for i := range batch {
		r.bufs[i] = mem[i*udpBuffer : (i+1)*udpBuffer]
		r.iovs[i].Base = &r.bufs[i][0]
		for _, m := range []*message{&r.in[i], &r.out[i]} {
			m.hdr.Iov = &r.iovs[i]
			m.hdr.SetIovlen(1)
			m.hdr.Name = (*byte)(unsafe.Pointer(&r.peers[i].name))
			if told {
				m.hdr.Control = &r.peers[i].asked.control[0]
			}
		}
	}
	r.receiving, r.sending = r.receive, r.send
	return r
}

// read takes a batch, answers what the fast path can, and has the rest answered.
func (r *reader) read() error {
	r.got.waited = false
	if err := r.raw.Read(r.receiving); err != nil {
		return err
	}
	if r.got.errno != 0 {
		return r.got.errno
	}
	r.s.count.udp.Add(uint64(r.got.n))
	r.answer()
	if r.ready > 0 {
		r.sent = 0
		_ = r.raw.Write(r.sending) // nobody can be told; the askers try again
	}
	// A loop that always finds something to read would keep others from this CPU
	// for as long as the scheduler's time slice: raft and gossip among them. Who has
	// waited has let them, and to yield once more would wake a thread for nothing. Who
	// yields may wait for a time slice, and what arrives meanwhile must find room.
	now := time.Now()
	switch {
	case r.got.waited:
		r.got.since = now
	case now.Sub(r.got.since) >= readTurn:
		runtime.Gosched()
		r.got.since = time.Now()
	}
	return nil
}

// receive fills the batch. The socket never blocks, so the scheduler need not know
// of the system call.
func (r *reader) receive(fd uintptr) bool {
	for i := range batch {
		r.iovs[i].SetLen(udpBuffer)
		r.in[i].hdr.Namelen = unix.SizeofSockaddrInet6
		if r.in[i].hdr.Control != nil {
			r.in[i].hdr.SetControllen(originLen)
		}
	}
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.in[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.got.n, r.got.errno = int(n), 0
			return true
		case syscall.EAGAIN:
			r.got.waited = true
			return false
		case syscall.EINTR:
		default:
			r.got.n, r.got.errno = 0, errno
			return true
		}
	}
}

// answer puts what the fast path can answer among the replies.
func (r *reader) answer() {
	r.ready = 0
	for i := range r.got.n {
		r.queries[i] = r.bufs[i][:r.in[i].n]
		if r.in[i].hdr.Control != nil {
			r.peers[i].asked.received(&r.in[i].hdr)
		}
	}
	done := 0
	if r.s.fast != nil {
		done = r.quick()
	}
	// What is left of the batch after a bug, or where there is no fast path.
	for i := done; i < r.got.n; i++ {
		r.s.takeUDP(r.c, r.from(i), r.peers[i].asked, r.queries[i])
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
	c.read(r.queries[:r.got.n])
	observer := c.live.observer
	pick := rand.IntN(r.got.n) // one stands for the batch: none costs much, and each is as likely
	for i := range r.got.n {
		at := r.from(i)
		from := asker{addr: at.Addr().Unmap(), port: at.Port()}
		wish := observer.Wants()
		if wish.Any() {
			c.scratch = append(c.scratch[:0], r.queries[i]...)
		}
		n := c.answer(i, r.bufs[i], from)
		done = i + 1
		if n == 0 {
			r.s.takeUDP(r.c, r.from(i), r.peers[i].asked, r.queries[i])
			continue
		}
		if wish.Any() {
			show(observer, wish, c.scratch, r.bufs[i][:max(n, 0)], from, c.now)
		}
		if n < 0 {
			continue // no reply
		}
		if i == pick {
			c.countName(i, n, r.bufs[i], r.got.n)
		}
		out := &r.out[r.ready].hdr
		r.iovs[i].SetLen(n)
		out.Iov, out.Name, out.Namelen = &r.iovs[i], r.in[i].hdr.Name, r.in[i].hdr.Namelen
		if out.Control != nil {
			out.Control = &r.peers[i].asked.control[0]
			out.SetControllen(int(r.peers[i].asked.n))
		}
		r.ready++
	}
	c.tally.flush(r.s, c.now, r.got.n)
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
	name := &r.peers[i].name
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
