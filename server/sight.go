package server

import (
	"context"

	"consul.internal/rpc"
	"consul.internal/server/vet"
)

// own performs operations on this process' own account.
type own struct{ s *Server }

// Own performs operations on this server's own account, for the duties that it has
// while it leads: no token is asked for. Nothing that comes from elsewhere may be
// handed to it.
func (s *Server) Own() rpc.Caller { return own{s} }

// Call implements rpc.Caller.
func (o own) Call(ctx context.Context, name string, in, out any) error {
	return o.s.Call(vet.Trusted(ctx), name, in, out)
}
