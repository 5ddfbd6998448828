package store

import (
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"

	"consul.internal/internal/logx"
)

const (
	// transportConns is how many idle connections to each server are kept: one
	// pipeline and spare ones for votes.
	transportConns = 3
	// transportTimeout bounds a call to another server; it grows with the size of a snapshot.
	transportTimeout = 10 * time.Second
)

// ListenTCP makes a raft transport of its own port. advertise, which may be nil,
// is the address that other servers use.
func ListenTCP(bind string, advertise net.Addr, logger *zap.Logger) (*raft.NetworkTransport, error) {
	t, err := raft.NewTCPTransportWithLogger(bind, advertise, transportConns, transportTimeout, logx.HCLog(logger.Named("raft")))
	if err != nil {
		return nil, fmt.Errorf("cannot open the server port (ports.server, bind_addr): %w", err)
	}
	return t, nil
}

// NewTransport makes a raft transport over connections that somebody else accepts.
func NewTransport(layer raft.StreamLayer, logger *zap.Logger) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: transportConns, Timeout: transportTimeout, Logger: logx.HCLog(logger.Named("raft")),
	})
}
