package federation

import (
	"context"
	"errors"
	"net"
	"sync"

	"consul.internal/internal/fault"
	"consul.internal/rpc/remote"
)

// pool keeps one Conn for each server that was ever asked, as long as it stands
// in the list of servers with the same address.
type pool struct {
	own  string // datacenter
	dial func(context.Context, Server) (net.Conn, error)

	mu      sync.Mutex
	conns   map[string]*remote.Conn // by node ID
	leaving []*remote.Conn          // retired ones, whose last calls may still run
	closed  bool
}

// get gives the way to a server.
func (p *pool) get(sv Server) (*remote.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.dial == nil {
		return nil, fault.Newf(fault.Unavailable, "server %s cannot be reached: this agent is closing", sv.Name)
	}
	if c := p.conns[sv.ID]; c != nil {
		if c.Addr() == sv.Addr {
			return c, nil
		}
		p.drop(sv.ID, true)
	}
	c, err := remote.NewConn(remote.ConnConfig{Addr: sv.Addr, Far: sv.Datacenter != p.own, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
		return p.dial(ctx, sv)
	}})
	if err != nil {
		return nil, fault.With(fault.Unavailable, err)
	}
	p.conns[sv.ID] = c
	return c, nil
}

// keep drops the ways to all servers but those given.
func (p *pool) keep(servers map[string]Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, c := range p.conns {
		if sv, ok := servers[id]; !ok || sv.Addr != c.Addr() {
			p.drop(id, ok)
		}
	}
	var still []*remote.Conn
	for _, c := range p.leaving {
		if !c.Closed() {
			still = append(still, c)
		}
	}
	p.leaving = still
}

// drop gives a way up: at once where the server has moved, since nobody answers
// there, else when the last call has ended.
func (p *pool) drop(id string, moved bool) {
	c := p.conns[id]
	delete(p.conns, id)
	if moved {
		c.HangUp()
	} else {
		c.Retire()
	}
	p.leaving = append(p.leaving, c)
}

func (p *pool) close() error {
	p.mu.Lock()
	p.closed = true
	all := p.leaving
	for _, c := range p.conns {
		all = append(all, c)
	}
	p.leaving, p.conns = nil, nil
	p.mu.Unlock()
	var errs []error
	for _, c := range all {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
