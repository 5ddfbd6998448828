package remote

import (
	"context"
	"net"
	"strconv"

	"consul.internal/rpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// hopHeader carries the number of servers that a call has come to, this one included.
const hopHeader = "consul-hop"

// datacenterHeader carries the datacenter that a conversation is for.
const datacenterHeader = "consul-datacenter"

// MaxHop is the last hop: whoever gets it answers by itself. The longest way is a
// server of the own datacenter, one that hands on, one of the datacenter that the
// call is for, and the leader there.
const MaxHop = 4

type hopKey struct{}

// WithHop marks the calls made with ctx as the n-th hop.
func WithHop(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, hopKey{}, n)
}

// Hop tells which hop a call is: 0 in the process of whoever asked, then 1 and more.
func Hop(ctx context.Context) int {
	n, _ := ctx.Value(hopKey{}).(int)
	return n
}

// outgoing puts the hop into a call's headers.
func outgoing(ctx context.Context) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, hopHeader, strconv.Itoa(max(Hop(ctx), 1)))
	if dc := rpc.DatacenterFrom(ctx); dc != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, datacenterHeader, dc)
	}
	return ctx
}

// incoming takes the hop out of a call's headers, and notes who calls. One that makes no sense is the
// last: it cannot be sent round in circles.
func incoming(ctx context.Context) context.Context {
	if p, ok := peer.FromContext(ctx); ok {
		if at, ok := p.Addr.(*net.TCPAddr); ok {
			ctx = rpc.WithSource(ctx, at.AddrPort().Addr().Unmap())
		}
	}
	if dc := metadata.ValueFromIncomingContext(ctx, datacenterHeader); len(dc) > 0 {
		ctx = rpc.ToDatacenter(ctx, dc[0])
	}
	values := metadata.ValueFromIncomingContext(ctx, hopHeader)
	if len(values) == 0 {
		return WithHop(ctx, 1)
	}
	n, err := strconv.Atoi(values[0])
	if err != nil || n < 1 || n > MaxHop {
		n = MaxHop
	}
	return WithHop(ctx, n)
}
