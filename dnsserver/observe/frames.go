package observe

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"consul.internal/internal/fault"
)

// Frame Streams, in both directions, as over a Unix socket: both sides agree on what
// the frames hold, then they follow, each with its length before it. A length of 0
// escapes a control frame.
const (
	controlAccept = 1
	controlStart  = 2
	controlStop   = 3
	controlReady  = 4
	controlFinish = 5

	fieldContentType = 1
	contentType      = "protobuf:dnstap.Dnstap"
	// maxControl is the longest control frame that is read: a few content types.
	maxControl = 4096
	// tapTimeout bounds each step with who listens: a program on the same machine.
	tapTimeout = 5 * time.Second
	// finishTimeout is how long a closing stream waits for the other side to have it all.
	finishTimeout = time.Second
)

// frames is a stream that has been begun.
type frames struct {
	c net.Conn
	w *bufio.Writer
}

func control(kind uint32, typed bool) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 8, 64), kind)
	if typed {
		b = binary.BigEndian.AppendUint32(b, fieldContentType)
		b = binary.BigEndian.AppendUint32(b, uint32(len(contentType)))
		b = append(b, contentType...)
	}
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// begin agrees with who listens on a connection.
func begin(c net.Conn) (*frames, error) {
	if err := c.SetDeadline(time.Now().Add(tapTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(control(controlReady, true)); err != nil {
		return nil, err
	}
	kind, body, err := readControl(c)
	if err != nil {
		return nil, fmt.Errorf("who listens on the socket does not speak Frame Streams: %w", err)
	}
	if kind != controlAccept || len(body) > 0 && !bytes.Contains(body, []byte(contentType)) {
		return nil, fault.Newf(fault.Unavailable, "who listens on the socket does not take dnstap")
	}
	_, err = c.Write(control(controlStart, true))
	return &frames{c, bufio.NewWriterSize(c, 64<<10)}, err // about 200 frames in one write
}

func readControl(r io.Reader) (kind uint32, body []byte, err error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[4:])
	if binary.BigEndian.Uint32(head[:]) != 0 || n < 4 || n > maxControl {
		return 0, nil, fault.Newf(fault.Invalid, "%x is no control frame", head)
	}
	body = make([]byte, n-4)
	_, err = io.ReadFull(r, body)
	return binary.BigEndian.Uint32(head[8:]), body, err
}

// write sends a frame, sooner or later.
func (f *frames) write(frame []byte) error {
	if f.w.Available() < len(frame)+4 {
		if err := f.flush(); err != nil {
			return err
		}
	}
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(frame)))
	_, _ = f.w.Write(n[:]) // errors stick
	_, err := f.w.Write(frame)
	return err
}

func (f *frames) flush() error {
	if err := f.c.SetDeadline(time.Now().Add(tapTimeout)); err != nil {
		return err
	}
	return f.w.Flush()
}

// finish ends the stream well, if the other side will.
func (f *frames) finish() error {
	defer func() { _ = f.c.Close() }() // it says no more
	_ = f.c.SetDeadline(time.Now().Add(finishTimeout))
	_, err := f.w.Write(control(controlStop, false))
	if err = errors.Join(err, f.w.Flush()); err != nil {
		return err
	}
	_, _, err = readControl(f.c)
	return err
}
