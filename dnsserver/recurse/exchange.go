package recurse

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpBuffer holds what an upstream sends over UDP, which is ednsSize bytes
	// unless it does not care.
	udpBuffer = 4096
	// maxStrange is how many datagrams that answer nothing are read for one
	// question: more than that is somebody guessing, and TCP is asked instead.
	maxStrange = 32
)

// errStrange says that datagrams came that answer another question.
var errStrange = errors.New("too many messages that do not answer the question")

// reply is what an upstream said.
type reply struct {
	wire []byte
	cut  bool // over UDP it had no room for all
	// loose is that the name did not come back as it was spelled, so that somebody may
	// have guessed the rest: it is given to who waits, and not remembered.
	loose bool
}

// exchange asks one upstream: over UDP or TCP as the asker did, over TCP after a
// reply that was cut, and without EDNS where that is not understood.
func (r *Recursor) exchange(ctx context.Context, u *upstream, q *Query, spelled string) (*dns.Msg, reply, error) {
	m, rep, err := r.once(ctx, u, q, spelled, true)
	if err == nil && badEDNS(m) {
		m, rep, err = r.once(ctx, u, q, spelled, false)
	}
	return m, rep, err
}

func (r *Recursor) once(ctx context.Context, u *upstream, q *Query, spelled string, edns bool) (*dns.Msg, reply, error) {
	ask := q.message(r.deps.ID(), spelled, edns)
	packed, err := ask.Pack()
	if err != nil {
		return nil, reply{}, err
	}
	if q.TCP {
		m, wire, err := r.overTCP(ctx, u, ask, packed)
		return m, reply{wire: wire}, err
	}
	m, wire, exact, err := r.overUDP(ctx, u, ask, packed)
	if err != nil && !errors.Is(err, errStrange) {
		return nil, reply{}, err
	}
	if err == nil && exact && !m.Truncated {
		return m, reply{wire: wire}, nil
	}
	cut := err == nil && m.Truncated
	if cut {
		r.count.truncated.Add(1)
	}
	full, fullWire, terr := r.overTCP(ctx, u, ask, packed)
	switch {
	case terr == nil:
		return full, reply{wire: fullWire, cut: cut}, nil
	case err == nil: // no TCP there: what came is better than nothing
		return m, reply{wire, cut, !exact}, nil
	}
	return nil, reply{}, terr
}

// dial connects to an upstream, over UDP from a port that the system chooses at
// random for this one question. The connection ends with ctx.
func (r *Recursor) dial(ctx context.Context, network string, u *upstream) (net.Conn, func(), error) {
	c, err := r.deps.Dial(ctx, network, u.addr.String())
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // wakes whoever waits
	return c, func() { stop(); _ = c.Close() }, nil
}

// overUDP sends the question, half-way again in case it was lost, and reads what
// comes from the upstream until it is the answer.
func (r *Recursor) overUDP(ctx context.Context, u *upstream, ask *dns.Msg, packed []byte) (m *dns.Msg, wire []byte, exact bool, err error) {
	c, done, err := r.dial(ctx, "udp", u)
	if err != nil {
		return nil, nil, false, err
	}
	defer done()
	end, _ := ctx.Deadline()
	half := time.Now().Add(time.Until(end) / 2)
	again := true
	if err := r.send(ctx, c, packed, half); err != nil {
		return nil, nil, false, err
	}
	buf := make([]byte, udpBuffer)
	for strange := 0; strange < maxStrange; {
		n, err := c.Read(buf)
		if again && ctx.Err() == nil && errors.Is(err, os.ErrDeadlineExceeded) {
			again = false
			if err := r.send(ctx, c, packed, end); err != nil {
				return nil, nil, false, err
			}
			continue
		}
		if err != nil {
			return nil, nil, false, err
		}
		m := new(dns.Msg)
		if m.Unpack(buf[:n]) == nil {
			if ok, exact := answers(m, ask); ok {
				return m, append([]byte(nil), buf[:n]...), exact, nil
			}
		}
		r.count.strange.Add(1)
		strange++
	}
	return nil, nil, false, errStrange
}

// send writes a datagram, and sets until when the reply may come.
func (r *Recursor) send(ctx context.Context, c net.Conn, packed []byte, until time.Time) error {
	if err := c.SetDeadline(until); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // its own deadline may just have been replaced
		return err
	}
	r.count.sent.Add(1)
	_, err := c.Write(packed)
	return err
}

func (r *Recursor) overTCP(ctx context.Context, u *upstream, ask *dns.Msg, packed []byte) (*dns.Msg, []byte, error) {
	c, done, err := r.dial(ctx, "tcp", u)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	end, _ := ctx.Deadline()
	framed := append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(packed)), uint16(len(packed))), packed...)
	if err := r.send(ctx, c, framed, end); err != nil {
		return nil, nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, nil, err
	}
	wire := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, wire); err != nil {
		return nil, nil, err
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		return nil, nil, fmt.Errorf("a reply that is no message: %w", err)
	}
	if ok, _ := answers(m, ask); !ok {
		r.count.strange.Add(1)
		return nil, nil, errors.New("a reply to another question")
	}
	return m, wire, nil
}
