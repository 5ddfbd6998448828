package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/internal/logx"
	"consul.internal/store/disklog"
)

const (
	// transportConns is how many idle connections to each server are kept: one
	// pipeline and spare ones for votes.
	transportConns = 3
	// transportTimeout bounds a call to another server; it grows with the size of a snapshot.
	transportTimeout = 10 * time.Second
)

// Layer is where raft's connections come from. Dial names the server that it
// wants beside its address, so that whoever answers there can say that it is
// another one. Addr is the address that other servers use.
type Layer interface {
	net.Listener
	Dial(ctx context.Context, addr, nodeID string) (net.Conn, error)
}

// ListenTCP makes a raft transport of its own port. advertise, which may be nil,
// is the address that other servers use.
func ListenTCP(bind string, advertise net.Addr, logger *zap.Logger) (*raft.NetworkTransport, error) {
	t, err := raft.NewTCPTransportWithLogger(bind, advertise, transportConns, transportTimeout, logx.HCLog(logger.Named("raft")))
	if err != nil {
		return nil, fmt.Errorf("cannot open the server port (ports.server, bind_addr): %w", err)
	}
	return t, nil
}

// New makes a raft transport over connections that a layer opens and accepts.
func New(layer Layer, logger *zap.Logger) raft.Transport {
	return named{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: stream{layer}, MaxPool: transportConns, Timeout: transportTimeout, Logger: logx.HCLog(logger.Named("raft")),
	})}
}

// named carries the node ID of each call's target to the layer. raft's transport
// keeps its connections by address and dials by address only, so for it an
// address is "id@host:port"; nobody else gets to see that.
type named struct{ *raft.NetworkTransport }

func at(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(string(id) + "@" + string(addr))
}

func (t named) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	return t.NetworkTransport.AppendEntriesPipeline(id, at(id, addr))
}

func (t named) AppendEntries(id raft.ServerID, addr raft.ServerAddress, in *raft.AppendEntriesRequest, out *raft.AppendEntriesResponse) error {
	return t.NetworkTransport.AppendEntries(id, at(id, addr), in, out)
}

func (t named) RequestVote(id raft.ServerID, addr raft.ServerAddress, in *raft.RequestVoteRequest, out *raft.RequestVoteResponse) error {
	return t.NetworkTransport.RequestVote(id, at(id, addr), in, out)
}

func (t named) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, in *raft.RequestPreVoteRequest, out *raft.RequestPreVoteResponse) error {
	return t.NetworkTransport.RequestPreVote(id, at(id, addr), in, out)
}

func (t named) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, in *raft.InstallSnapshotRequest, out *raft.InstallSnapshotResponse, data io.Reader) error {
	return t.NetworkTransport.InstallSnapshot(id, at(id, addr), in, out, data)
}

func (t named) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, in *raft.TimeoutNowRequest, out *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, at(id, addr), in, out)
}

// stream gives raft's transport a layer in the form that it wants.
type stream struct{ Layer }

func (s stream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	at := strings.LastIndexByte(string(addr), '@')
	return s.Layer.Dial(ctx, string(addr[at+1:]), string(addr[:max(at, 0)]))
}

// Config is what a Door is made of.
type Config struct {
	Transport raft.Transport
	Gate      *disklog.Gate                      // closed while the disk does not take writes
	Address   func(raft.ServerID) (string, bool) // where a server is now; may be nil
	Votes     func(raft.RPC, func(raft.RPC))     // passes a request for a vote on, or answers it; may be nil
	Run       func(func()) bool                  // runs what its owner waits for
}

// Door is the transport as raft gets it: it finds servers by their ID wherever
// they are now, closes while the disk does not take writes, and keeps votes back
// that a pledge forbids.
type Door struct {
	raft.Transport
	cfg   Config
	in    chan raft.RPC
	ended chan struct{}
	keep  atomic.Bool

	mu        sync.Mutex
	hungUp    bool
	pipelines map[*pipeline]struct{} // open ones
}

var errNoPreVote = errors.New("the transport knows no pre-vote")

// NewDoor returns a closed door.
func NewDoor(cfg Config) *Door {
	return &Door{Transport: cfg.Transport, cfg: cfg, in: make(chan raft.RPC), ended: make(chan struct{}), pipelines: map[*pipeline]struct{}{}}
}

// Keep has the transport outlive this door.
func (d *Door) Keep() { d.keep.Store(true) }

// Kept reports whether the transport outlives this door.
func (d *Door) Kept() bool { return d.keep.Load() }

// Ended is closed when the door is.
func (d *Door) Ended() <-chan struct{} { return d.ended }

// Open lets calls through until the door is closed.
func (d *Door) Open() {
	d.cfg.Run(func() {
		for {
			select {
			case call := <-d.Transport.Consumer():
				d.pass(call)
			case <-d.ended:
				return
			}
		}
	})
}

func (d *Door) pass(call raft.RPC) {
	switch call.Command.(type) {
	case *raft.RequestVoteRequest, *raft.RequestPreVoteRequest, *raft.TimeoutNowRequest:
		if d.cfg.Votes != nil {
			d.cfg.Votes(call, d.Hand)
			return
		}
	}
	d.Hand(call)
}

// Hand gives a call to raft, which may be stuck in a write.
func (d *Door) Hand(call raft.RPC) {
	shut := d.cfg.Gate.Shutting()
	select {
	case <-shut:
		refuse(call, disklog.ErrGateShut)
		return
	default:
	}
	select {
	case d.in <- call:
	case <-shut:
		refuse(call, disklog.ErrGateShut)
	case <-d.ended:
		refuse(call, raft.ErrTransportShutdown)
	}
}

// refuse answers a call with an error. Whoever waits for the answers of a pipeline
// takes one of the right type from each.
func refuse(call raft.RPC, err error) {
	if _, ok := call.Command.(*raft.AppendEntriesRequest); ok {
		call.Respond(&raft.AppendEntriesResponse{}, err)
		return
	}
	call.Respond(nil, err)
}

func (d *Door) to(id raft.ServerID, addr raft.ServerAddress) raft.ServerAddress {
	if d.cfg.Address != nil {
		if now, ok := d.cfg.Address(id); ok {
			return raft.ServerAddress(now)
		}
	}
	return addr
}

// Consumer implements raft.Transport.
func (d *Door) Consumer() <-chan raft.RPC { return d.in }

// SetHeartbeatHandler implements raft.Transport.
func (d *Door) SetHeartbeatHandler(handle func(raft.RPC)) {
	d.Transport.SetHeartbeatHandler(func(call raft.RPC) {
		if d.cfg.Gate.IsShut() {
			call.Respond(nil, disklog.ErrGateShut)
			return
		}
		handle(call)
	})
}

// AppendEntriesPipeline implements raft.Transport.
func (d *Door) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	if d.cfg.Gate.IsShut() {
		return nil, disklog.ErrGateShut
	}
	inner, err := d.Transport.AppendEntriesPipeline(id, d.to(id, addr))
	if err != nil {
		return nil, err
	}
	p := &pipeline{inner, d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hungUp {
		_ = inner.Close() // has no errors
		return nil, raft.ErrTransportShutdown
	}
	d.pipelines[p] = struct{}{}
	return p, nil
}

// HangUp ends all pipelines. raft, which is shutting down, waits for who sends into
// one, and that one for room, which there may never be again: raft's reader of the
// answers stops at the first that is bad.
func (d *Door) HangUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hungUp = true
	for p := range d.pipelines {
		_ = p.AppendPipeline.Close() // has no errors
	}
}

// AppendEntries implements raft.Transport.
func (d *Door) AppendEntries(id raft.ServerID, addr raft.ServerAddress, in *raft.AppendEntriesRequest, out *raft.AppendEntriesResponse) error {
	if d.cfg.Gate.IsShut() {
		return disklog.ErrGateShut
	}
	return d.Transport.AppendEntries(id, d.to(id, addr), in, out)
}

// RequestVote implements raft.Transport.
func (d *Door) RequestVote(id raft.ServerID, addr raft.ServerAddress, in *raft.RequestVoteRequest, out *raft.RequestVoteResponse) error {
	if d.cfg.Gate.IsShut() {
		return disklog.ErrGateShut
	}
	return d.Transport.RequestVote(id, d.to(id, addr), in, out)
}

// RequestPreVote implements raft.WithPreVote.
func (d *Door) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, in *raft.RequestPreVoteRequest, out *raft.RequestPreVoteResponse) error {
	t, ok := d.Transport.(raft.WithPreVote)
	switch {
	case !ok:
		return errNoPreVote
	case d.cfg.Gate.IsShut():
		return disklog.ErrGateShut
	}
	return t.RequestPreVote(id, d.to(id, addr), in, out)
}

// InstallSnapshot implements raft.Transport.
func (d *Door) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, in *raft.InstallSnapshotRequest, out *raft.InstallSnapshotResponse, data io.Reader) error {
	if d.cfg.Gate.IsShut() {
		return disklog.ErrGateShut
	}
	return d.Transport.InstallSnapshot(id, d.to(id, addr), in, out, data)
}

// TimeoutNow implements raft.Transport.
func (d *Door) TimeoutNow(id raft.ServerID, addr raft.ServerAddress, in *raft.TimeoutNowRequest, out *raft.TimeoutNowResponse) error {
	return d.Transport.TimeoutNow(id, d.to(id, addr), in, out)
}

// CloseStreams ends idle connections where the transport has any.
func (d *Door) CloseStreams() {
	if c, ok := d.Transport.(interface{ CloseStreams() }); ok {
		c.CloseStreams()
	}
}

// Close implements raft.WithClose. It is called once.
func (d *Door) Close() error {
	close(d.ended)
	if c, ok := d.Transport.(raft.WithClose); ok && !d.Kept() {
		return c.Close()
	}
	return nil
}

// pipeline stops at a shut gate: even an empty message in it tells the follower
// that its leader is well.
type pipeline struct {
	raft.AppendPipeline
	door *Door
}

func (p *pipeline) AppendEntries(in *raft.AppendEntriesRequest, out *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if p.door.cfg.Gate.IsShut() {
		return nil, disklog.ErrGateShut
	}
	return p.AppendPipeline.AppendEntries(in, out)
}

func (p *pipeline) Close() error {
	p.door.mu.Lock()
	delete(p.door.pipelines, p)
	p.door.mu.Unlock()
	return p.AppendPipeline.Close()
}
