package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"consul.internal/internal/fault"
)

// The first byte of a connection, and of what is inside TLS. Ours are none that
// other protocols begin with: text, HTTP/2 and TLS all lie below 0x80.
const (
	firstTLS   byte = 0x16 // a TLS record with a handshake (RFC 8446, 5.1)
	firstRaft  byte = 0xc1
	firstCalls byte = 0xc2
)

const (
	// helloVersion is the version of the hello and of its answer.
	helloVersion = 1
	// maxID bounds each ID in a hello; IDs are UUIDs of 36 bytes.
	maxID = 64
	// maxHello bounds a hello of any version, so that it can be read to its end and
	// refused with an answer.
	maxHello = 512
)

// hello opens a raft stream. On the wire: version, length of the rest (2 bytes),
// and three IDs, each a length (1 byte) and bytes.
type hello struct {
	Cluster string // of the dialer; "" = not known yet
	From    string // node ID of the dialer
	To      string // node ID that is meant
}

func (h hello) append(b []byte) ([]byte, error) {
	for _, id := range []string{h.Cluster, h.From, h.To} {
		if len(id) > maxID {
			return nil, fault.Newf(fault.Invalid, "the ID %.20q… is longer than %d bytes", id, maxID)
		}
	}
	n := 3 + len(h.Cluster) + len(h.From) + len(h.To)
	b = append(b, helloVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	for _, id := range []string{h.Cluster, h.From, h.To} {
		b = append(b, byte(len(id)))
		b = append(b, id...)
	}
	return b, nil
}

// readHello reads a hello to its end, or says why it is refused.
func readHello(r io.Reader) (hello, Reason, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return hello{}, 0, err
	}
	var room [maxHello]byte
	n := int(binary.BigEndian.Uint16(head[1:]))
	if n > len(room) {
		return hello{}, Malformed, nil
	}
	body := room[:n]
	if _, err := io.ReadFull(r, body); err != nil {
		return hello{}, 0, err
	}
	if head[0] != helloVersion {
		return hello{}, OtherVersion, nil
	}
	var h hello
	for _, id := range []*string{&h.Cluster, &h.From, &h.To} {
		if len(body) == 0 {
			return hello{}, Malformed, nil
		}
		n := int(body[0])
		if n > maxID || n > len(body)-1 {
			return hello{}, Malformed, nil
		}
		*id, body = string(body[1:1+n]), body[1+n:]
	}
	if len(body) > 0 {
		return hello{}, Malformed, nil
	}
	return h, Accepted, nil
}

// answer to a hello. On the wire: reason, length (1 byte) and bytes of the ID.
type answer struct {
	reason Reason
	id     string // what the refusing side is instead: its cluster or node
}

func (a answer) append(b []byte) []byte {
	id := a.id[:min(len(a.id), maxID)]
	b = append(b, byte(a.reason), byte(len(id)))
	return append(b, id...)
}

func readAnswer(r io.Reader) (answer, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return answer{}, err
	}
	var room [maxID]byte
	if int(head[1]) > len(room) {
		return answer{}, fault.Newf(fault.Unavailable, "the answer to the hello is not understood; is this the port of a server?")
	}
	id := room[:head[1]]
	if _, err := io.ReadFull(r, id); err != nil {
		return answer{}, err
	}
	return answer{reason: Reason(head[0]), id: string(id)}, nil
}

// Reason says why a raft stream was refused.
type Reason uint8

const (
	Accepted     Reason = iota
	OtherCluster        // the server belongs to another cluster
	OtherNode           // another server answers at this address
	OtherVersion        // the hello is of a version that the server does not know
	Malformed           // the hello is none
	NeedsTLS            // the server takes only connections with TLS
	NotAServer          // the certificate is not one of a server
	Closing             // the server takes no raft streams now
)

// RefusedError is the answer of a server that did not take a raft stream.
type RefusedError struct {
	Reason Reason
	Addr   string
	Ours   string // the ID that was sent: the cluster's or the node's
	Theirs string // the ID that the server has instead
}

func (e *RefusedError) Error() string {
	switch e.Reason {
	case OtherCluster:
		return fmt.Sprintf("the server at %s belongs to cluster %s, this one to cluster %s; two clusters were formed, and one of them has to be emptied before its servers can join the other", e.Addr, e.Theirs, e.Ours)
	case OtherNode:
		return fmt.Sprintf("the server at %s has the node ID %s; meant was %s", e.Addr, e.Theirs, e.Ours)
	case OtherVersion:
		return fmt.Sprintf("the server at %s does not know version %d of the raft hello; is one of the two much older?", e.Addr, helloVersion)
	case Malformed:
		return fmt.Sprintf("the server at %s did not understand the raft hello", e.Addr)
	case NeedsTLS:
		return fmt.Sprintf("the server at %s takes only TLS (verify_incoming); set tls.internal_rpc.verify_outgoing here", e.Addr)
	case NotAServer:
		return fmt.Sprintf("the server at %s takes raft only from certificates with the name %s; make one with: consul tls cert create -server", e.Addr, e.Theirs)
	case Closing:
		return fmt.Sprintf("the server at %s takes no raft streams now", e.Addr)
	}
	return fmt.Sprintf("the server at %s refused the raft stream for a reason that is not known here (%d)", e.Addr, e.Reason)
}

// Unwrap gives the kind.
func (e *RefusedError) Unwrap() error {
	switch e.Reason {
	case NeedsTLS, NotAServer:
		return fault.Denied
	case OtherCluster:
		return fault.Conflict
	case OtherVersion, Malformed:
		return fault.Invalid
	}
	return fault.Unavailable
}
