package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is a UDP socket. One goroutine at a time reads it, by a Batch, and sends with
// that; the other methods may be called by any.
type Socket struct {
	// Of one that stays in the runtime's poller, else nil.
	c   *net.UDPConn
	raw syscall.RawConn

	fd       int
	wake     int // an eventfd: whoever waits shall look again
	v6       bool
	wildcard bool // bound to all addresses of a family

	use      sync.RWMutex // held, for reading, by who uses the descriptors
	closed   atomic.Bool
	base     time.Time
	deadline atomic.Int64 // of reading, in nanoseconds after base; 0 is none

	// Of who waits to read or to send.
	fds     [2]unix.PollFd
	timeout unix.Timespec
}

// Take makes a Socket of a bound connection, which belongs to it whatever comes of it.
// Apart says that it shall be none of the runtime's poller; there must be more processors
// (GOMAXPROCS) than such sockets, since one that waits for a short time keeps its processor.
func Take(c *net.UDPConn, apart bool) (*Socket, error) {
	s := &Socket{fd: -1, wake: -1, base: time.Now()}
	raw, err := c.SyscallConn()
	if err == nil {
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
			s.wildcard = a.IP.IsUnspecified()
		}
		var set error
		err = raw.Control(func(fd uintptr) { set = s.take(int(fd), apart) })
		err = errors.Join(err, set)
	}
	if err == nil && !apart {
		s.c, s.raw = c, raw
		return s, nil
	}
	_ = c.Close() // only the poller's part of it ends
	if err != nil {
		_ = s.release() // the error that matters is err
		return nil, fmt.Errorf("preparing a UDP socket: %w", err)
	}
	return s, nil
}

func (s *Socket) take(fd int, apart bool) (err error) {
	if apart {
		if s.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			s.fd = -1
			return err
		}
		if s.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
			s.wake = -1
			return err
		}
	}
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	s.v6 = family == unix.AF_INET6
	// Else replies leave from the address that the machine likes best, and askers
	// ignore them.
	switch {
	case !s.wildcard:
		return nil
	case s.v6: // IPv4 too, where the socket takes both
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	default:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
}

// release closes what there is.
func (s *Socket) release() (err error) {
	for _, fd := range []int{s.fd, s.wake} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}

// Close ends reading and writing, with net.ErrClosed.
func (s *Socket) Close() error {
	if s.c != nil {
		return s.c.Close()
	}
	if s.closed.Swap(true) {
		return net.ErrClosed
	}
	s.stir()
	s.use.Lock()
	defer s.use.Unlock()
	return s.release()
}

// SetReadDeadline has reading end with os.ErrDeadlineExceeded from a moment on, also
// that which waits now; the zero time is none.
func (s *Socket) SetReadDeadline(t time.Time) error {
	if s.c != nil {
		return s.c.SetReadDeadline(t)
	}
	s.use.RLock()
	defer s.use.RUnlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	after := int64(0)
	if !t.IsZero() {
		after = max(1, int64(t.Sub(s.base)))
	}
	s.deadline.Store(after)
	s.stir()
	return nil
}

// stir has who waits look again. It is called before the descriptors are closed.
func (s *Socket) stir() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(s.wake, one[:]) // it fails where the same has been said very often
}

// Write sends one reply from the address that was asked.
func (s *Socket) Write(reply []byte, from *Origin, to netip.AddrPort) error {
	if s.c != nil {
		_, _, err := s.c.WriteMsgUDPAddrPort(reply, from.control[:from.n], to)
		return err
	}
	s.use.RLock()
	defer s.use.RUnlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	var name unix.Sockaddr
	if s.v6 {
		zone, _ := strconv.ParseUint(to.Addr().Zone(), 10, 32) // 0 where there is none
		name = &unix.SockaddrInet6{Port: int(to.Port()), ZoneId: uint32(zone), Addr: to.Addr().As16()}
	} else {
		name = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().Unmap().As4()}
	}
	for {
		_, err := unix.SendmsgN(s.fd, reply, from.control[:from.n], name, unix.MSG_DONTWAIT)
		if !errors.Is(err, unix.EINTR) {
			return err // a full queue as well: the asker tries again
		}
	}
}

// read has receive called until it has something, or the socket ends.
func (s *Socket) read(receive func(fd uintptr) bool) error {
	if s.raw != nil {
		return s.raw.Read(receive)
	}
	s.use.RLock()
	defer s.use.RUnlock()
	for {
		if s.closed.Load() {
			return net.ErrClosed
		}
		if d := s.deadline.Load(); d != 0 && int64(time.Since(s.base)) >= d {
			return os.ErrDeadlineExceeded
		}
		if receive(uintptr(s.fd)) {
			return nil
		}
		if err := s.wait(); err != nil {
			return err
		}
	}
}

// wait sleeps until something has arrived, the socket has been stirred or its deadline
// is there.
func (s *Socket) wait() error {
	var timeout *unix.Timespec
	if d := s.deadline.Load(); d != 0 {
		s.timeout = unix.NsecToTimespec(max(0, d-int64(time.Since(s.base))))
		timeout = &s.timeout
	}
	s.fds[0] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
	s.fds[1] = unix.PollFd{Fd: int32(s.wake), Events: unix.POLLIN}
	if _, err := unix.Ppoll(s.fds[:], timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	if s.fds[1].Revents != 0 {
		var said [8]byte
		_, _ = unix.Read(s.wake, said[:]) // it has been heard
	}
	return nil
}

// sendPatience is how long it is waited for a place in the system's queue. In the
// meantime the socket's own queue fills, and then the askers notice.
const sendPatience = 10 * time.Millisecond

// write has send called until all is sent, or that takes too long.
func (s *Socket) write(send func(fd uintptr) bool) {
	if s.raw != nil {
		_ = s.raw.Write(send) // nobody can be told
		return
	}
	s.use.RLock()
	defer s.use.RUnlock()
	for !s.closed.Load() && !send(uintptr(s.fd)) {
		s.fds[0] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLOUT}
		s.timeout = unix.NsecToTimespec(int64(sendPatience))
		if n, err := unix.Ppoll(s.fds[:1], &s.timeout, nil); n == 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// originLen has room for the longer of a struct in_pktinfo and in6_pktinfo with its
// header.
const originLen = unix.SizeofCmsghdr + unix.SizeofInet6Pktinfo + 4

// Origin is the address that a datagram was sent to, as a control message. It goes
// back with the reply, which so leaves from there.
type Origin struct {
	control [originLen]byte
	n       uint8
}

// received takes the length from a message that has been read.
func (o *Origin) received(h *unix.Msghdr) {
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

// peer is who sent a datagram, and to which of our addresses.
type peer struct {
	name  unix.RawSockaddrInet6
	asked Origin
}

// addr is who sent it.
func (p *peer) addr() netip.AddrPort {
	port := (*[2]byte)(unsafe.Pointer(&p.name.Port))
	if p.name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&p.name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), binary.BigEndian.Uint16(port[:]))
	}
	a := netip.AddrFrom16(p.name.Addr)
	if p.name.Scope_id != 0 {
		a = a.WithZone(strconv.FormatUint(uint64(p.name.Scope_id), 10))
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port[:]))
}
