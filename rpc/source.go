package rpc

import (
	"context"
	"net/netip"
)

type sourceKey struct{}

// WithSource marks what is done with ctx as asked for from an address.
func WithSource(ctx context.Context, addr netip.Addr) context.Context {
	return context.WithValue(ctx, sourceKey{}, addr)
}

// SourceFrom is the address that asked; not valid where the agent itself asks.
func SourceFrom(ctx context.Context) netip.Addr {
	addr, _ := ctx.Value(sourceKey{}).(netip.Addr)
	return addr
}
