package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is a UDP socket. One goroutine at a time reads it, by a Batch; the methods
// may be called by any.
type Socket struct {
	fd       int
	wake     int // an eventfd: whoever waits shall look again
	v6       bool
	wildcard bool // bound to all addresses of a family

	use      sync.RWMutex // held, for reading, by who uses the descriptors
	closed   atomic.Bool
	deadline atomic.Int64 // of reading, in nanoseconds since 1970; 0 is none
}

// Take makes a Socket of a bound connection, which is closed whatever comes of it.
func Take(c *net.UDPConn) (*Socket, error) {
	defer func() { _ = c.Close() }() // only the poller's part of it ends
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Socket{fd: -1, wake: -1}
	if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
		s.wildcard = a.IP.IsUnspecified()
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = s.take(int(fd)) })
	if err = errors.Join(err, set); err != nil {
		s.release()
		return nil, fmt.Errorf("preparing a UDP socket: %w", err)
	}
	return s, nil
}

func (s *Socket) take(fd int) (err error) {
	if s.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		s.fd = -1
		return err
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		s.wake = -1
		return err
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
	if s.closed.Swap(true) {
		return net.ErrClosed
	}
	s.stir()
	s.use.Lock()
	defer s.use.Unlock()
	return s.release()
}

// SetReadDeadline has reading end with os.ErrDeadlineExceeded from a moment on, also
// that which waits now.
func (s *Socket) SetReadDeadline(t time.Time) error {
	s.use.RLock()
	defer s.use.RUnlock()
	if s.closed.Load() {
		return net.ErrClosed
	}
	s.deadline.Store(t.UnixNano())
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
