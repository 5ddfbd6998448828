package daemon

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"

	"consul.internal/checks"
	"consul.internal/configs"
	"consul.internal/federation"
	"consul.internal/internal/door"
	"consul.internal/internal/tlsx"
	"consul.internal/rpc/remote"
	"consul.internal/rpc/wire"
)

// Network carries what agents say to each other. Tests bring their own.
type Network interface {
	Listen(ctx context.Context, addr string) (net.Listener, error)
	ListenPacket(ctx context.Context, addr string) (net.PacketConn, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

func tlsConfig(s *configs.Settings) tlsx.Config {
	part := func(p configs.TLSPart) tlsx.Part {
		return tlsx.Part{
			CAFile: p.CAFile, CAPath: p.CAPath, CertFile: p.CertFile, KeyFile: p.KeyFile,
			MinVersion: p.MinVersion, CipherSuites: strings.Join(p.CipherSuites, ","),
			VerifyIncoming: p.VerifyIncoming, VerifyOutgoing: p.VerifyOutgoing, VerifyServerHostname: p.VerifyServerHostname,
		}
	}
	return tlsx.Config{
		Datacenter: s.Node.Datacenter, Domain: s.DNS.Domain, Server: s.Server.Enabled,
		InternalRPC: part(s.TLS.InternalRPC), HTTPS: part(s.TLS.HTTPS),
	}
}

// checkTLS gives checks this agent's certificate and authorities, as they are when a
// connection is made; nil if the configuration does not want that.
func checkTLS(d *Daemon) checks.TLSFunc {
	if !d.settings.TLS.Checks {
		return nil
	}
	return func() *tls.Config {
		c := d.tls.InternalRPC.Service()
		c.ServerName = d.settings.TLS.ServerName
		return c
	}
}

func wireConfig(s *configs.Settings) wire.Config {
	cfg := wire.DefaultConfig()
	if s.Server.Enabled {
		cfg.Addr = serverBind(s)
	}
	cfg.Conns = door.Share(rpcParts, cfg.Conns)
	cfg.ConnsPerAddress = s.Limits.RPCMaxConnsPerClient
	cfg.HandshakeTimeout = s.Limits.RPCHandshakeTimeout
	return cfg
}

// openMux opens the server port, or what a client needs to dial others'.
func (d *Daemon) openMux(ctx context.Context) error {
	deps := wire.Deps{
		Logger: d.log.Named("rpc"), TLS: d.tls.InternalRPC, NodeID: d.nodeID,
		ClusterID: func() string {
			if d.store == nil {
				return ""
			}
			return d.store.Former().ClusterID()
		},
	}
	if d.opts.Network != nil {
		deps.Network = d.opts.Network
	}
	var err error
	if d.mux, err = wire.New(wireConfig(d.settings), deps); err != nil {
		return err
	}
	if err := d.mux.Open(ctx); err != nil {
		return err
	}
	d.onClose("server port", d.mux.Close)
	return nil
}

// newRouter makes the way to the servers; local is nil on a client.
func (d *Daemon) newRouter(ctx context.Context, local federation.Local) error {
	deps := federation.Deps{
		Local: local, Logger: d.log.Named("router"),
		Dial: func(ctx context.Context, sv federation.Server) (net.Conn, error) {
			return d.mux.DialCallsIn(ctx, sv.Datacenter, sv.Addr)
		},
		ClusterSize: d.pools.Size,
	}
	var err error
	d.router, err = federation.New(routerConfig(d.settings, d.nodeID), deps)
	if err != nil {
		return err
	}
	if err := d.router.Open(ctx); err != nil {
		return err
	}
	d.onClose("router", d.router.Close)
	return nil
}

// serveCalls lets other agents call this server.
func (d *Daemon) serveCalls(ctx context.Context) error {
	srv, err := remote.NewServer(remote.ServerDeps{Handler: d.others(d.router.Relay()), Logger: d.log.Named("rpc")})
	if err != nil {
		return err
	}
	if err := srv.Open(ctx, d.mux.Calls()); err != nil {
		return err
	}
	d.onClose("calls of others", srv.Close)
	return nil
}

// raftLayer gives raft its connections, under the address that others know.
type raftLayer struct {
	*wire.Layer
	advertise netip.AddrPort
}

func (l raftLayer) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.advertise) }
