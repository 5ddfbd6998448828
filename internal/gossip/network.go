package gossip

import (
	"context"
	"net"
)

// kernel is the network of the machine.
type kernel struct{}

// receiveBuffer takes a burst of news while the process is not scheduled.
const receiveBuffer = 2 << 20

func (kernel) Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
}

func (kernel) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	if u, ok := c.(*net.UDPConn); ok {
		for size := receiveBuffer; size > 0 && u.SetReadBuffer(size) != nil; size /= 2 {
		}
	}
	return c, nil
}

func (kernel) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}
