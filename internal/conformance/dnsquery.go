package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxMessage is the largest DNS message (RFC 1035: a length of 16 bits).
const maxMessage = 65535

// errNoResponse says that the time passed, or the connection ended, without a
// reply.
var errNoResponse = errors.New("no response")

// reply is an observed DNS reply.
type reply struct {
	msg     *dns.Msg
	wire    []byte
	elapsed time.Duration
}

// build packs the query; names are already expanded.
func (q *DNSQuery) build(expand func(string) string) ([]byte, uint16, error) {
	id := uint16(rand.Uint32())
	if q.Raw != "" {
		raw, err := hex.DecodeString(strings.ReplaceAll(q.Raw, " ", ""))
		if err != nil {
			return nil, 0, err
		}
		if len(raw) >= 2 {
			binary.BigEndian.PutUint16(raw, id)
		}
		return raw, id, nil
	}
	m := new(dns.Msg)
	m.Id = id
	m.RecursionDesired = !q.NoRD
	m.CheckingDisabled, m.AuthenticatedData, m.Response = q.CD, q.AD, q.QR
	op, err := opcode(q.Opcode)
	if err != nil {
		return nil, 0, err
	}
	m.Opcode = op
	questions := q.Questions
	if len(questions) == 0 && !q.NoQuestion {
		class := q.Class
		if class == "" {
			class = "IN"
		}
		questions = []string{q.Name + " " + class + " " + q.Type}
	}
	for _, text := range questions {
		f := strings.Fields(expand(text))
		if len(f) != 3 {
			return nil, 0, fmt.Errorf("bad question %q", text)
		}
		class, ok := number(f[1], "CLASS", dns.StringToClass)
		typ, ok2 := number(f[2], "TYPE", dns.StringToType)
		if !ok || !ok2 {
			return nil, 0, fmt.Errorf("bad question %q", text)
		}
		m.Question = append(m.Question, dns.Question{Name: f[0], Qclass: class, Qtype: typ})
	}
	if q.EDNS != nil {
		opt, err := q.EDNS.opt()
		if err != nil {
			return nil, 0, err
		}
		m.Extra = append(m.Extra, opt)
	}
	wire, err := m.Pack()
	return wire, id, err
}

func opcode(v any) (int, error) {
	s := fmt.Sprint(v)
	if v == nil || s == "" {
		return dns.OpcodeQuery, nil
	}
	if op, ok := dns.StringToOpcode[s]; ok {
		return op, nil
	}
	return strconv.Atoi(s)
}

func number(s, prefix string, names map[string]uint16) (uint16, bool) {
	if n, ok := names[s]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, prefix), 10, 16)
	return uint16(n), err == nil && strings.HasPrefix(s, prefix)
}

func (e *EDNSSpec) opt() (*dns.OPT, error) {
	o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	o.SetUDPSize(e.Size)
	o.SetVersion(e.Version)
	if e.Do {
		o.SetDo()
	}
	if e.ECS != "" {
		_, ipnet, err := net.ParseCIDR(e.ECS)
		if err != nil {
			return nil, err
		}
		ones, bits := ipnet.Mask.Size()
		family := uint16(1)
		if bits == 128 {
			family = 2
		}
		o.Option = append(o.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(ones), Address: ipnet.IP})
	}
	if e.Cookie != "" {
		o.Option = append(o.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: e.Cookie})
	}
	if e.NSID {
		o.Option = append(o.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	}
	return o, nil
}

// ask sends the query to addr and waits for the reply with its id.
func (q *DNSQuery) ask(addr string, expand func(string) string) (*reply, error) {
	wire, id, err := q.build(expand)
	if err != nil {
		return nil, err
	}
	timeout := 3 * time.Second // the default of the recorded format
	if q.TimeoutMS > 0 {
		timeout = time.Duration(q.TimeoutMS) * time.Millisecond
	}
	network := q.Net
	if network == "" {
		network = "udp"
	}
	conn, err := net.DialTimeout(network, addr, timeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	start := time.Now()
	if err := conn.SetDeadline(start.Add(timeout)); err != nil {
		return nil, err
	}
	if network == "tcp" {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	for {
		got, err := readMessage(conn, network)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoResponse, err)
		}
		if len(got) < 2 || binary.BigEndian.Uint16(got) != id {
			continue // a late reply to another question
		}
		r := &reply{msg: new(dns.Msg), wire: got, elapsed: time.Since(start)}
		if err := r.msg.Unpack(got); err != nil {
			return nil, fmt.Errorf("the reply cannot be unpacked: %w", err)
		}
		return r, nil
	}
}

func readMessage(conn net.Conn, network string) ([]byte, error) {
	if network != "tcp" {
		buf := make([]byte, maxMessage)
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, buf)
	return buf, err
}
