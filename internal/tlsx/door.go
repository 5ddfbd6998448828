package tlsx

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync/atomic"
	"time"

	"consul.internal/internal/fault"
)

// Settings of all doors of one agent.
type Settings struct {
	InternalRPC *Door
	HTTPS       *Door
	GRPC        *Door
}

// New loads and checks what cfg names. Errors say which file or key is wrong.
func New(cfg Config) (*Settings, error) {
	s := &Settings{
		InternalRPC: &Door{kind: kind{block: "tls.internal_rpc", anyName: true, asks: true}},
		HTTPS:       &Door{kind: kind{block: "tls.https"}},
		GRPC:        &Door{kind: kind{block: "tls.grpc"}},
	}
	if err := s.Reload(cfg); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload loads cfg, again from the files, for handshakes from now on. After an
// error all doors are as they were.
func (s *Settings) Reload(cfg Config) error {
	cfg.Domain = strings.ToLower(strings.Trim(cfg.Domain, "."))
	now := time.Now()
	doors := []*Door{s.InternalRPC, s.HTTPS, s.GRPC}
	next := make([]*current, len(doors))
	for i, part := range []Part{cfg.InternalRPC, cfg.HTTPS, cfg.GRPC} {
		l, err := load(doors[i].kind, cfg, part, now)
		if err != nil {
			return err
		}
		next[i] = &current{cfg: cfg, loaded: l}
	}
	for i, d := range doors {
		d.now.Store(next[i])
	}
	return nil
}

// Warnings tell what works, but not as its owner may think.
func (s *Settings) Warnings() []string {
	var all []string
	for _, d := range []*Door{s.InternalRPC, s.HTTPS, s.GRPC} {
		all = append(all, d.now.Load().warnings...)
	}
	return all
}

// Door has the TLS settings of one door. A nil Door has no TLS.
type Door struct {
	kind kind
	now  atomic.Pointer[current]
}

type current struct {
	cfg Config
	*loaded
}

func (d *Door) load() *current {
	if d == nil {
		return &current{loaded: &loaded{}}
	}
	return d.now.Load()
}

// Incoming says whether TLS can be spoken with those who come in.
func (d *Door) Incoming() bool { return d.load().cert != nil }

// VerifyIncoming says that only those with a certificate may come in.
func (d *Door) VerifyIncoming() bool { return d.load().part.VerifyIncoming }

// Outgoing says whether TLS is spoken with those who are dialed.
func (d *Door) Outgoing() bool { return d.load().part.VerifyOutgoing }

// Expiry is when this agent's certificate ends; false without one.
func (d *Door) Expiry() (time.Time, bool) {
	l := d.load()
	if l.cert == nil {
		return time.Time{}, false
	}
	return l.cert.Leaf.NotAfter, true
}

// ServerName is the name that certificates of a datacenter's servers carry; ""
// means the own datacenter.
func (d *Door) ServerName(datacenter string) string {
	l := d.load()
	if datacenter == "" {
		datacenter = l.cfg.Datacenter
	}
	return l.cfg.serverName(datacenter)
}

func (c *Config) serverName(datacenter string) string {
	return "server." + strings.ToLower(datacenter) + "." + c.Domain
}

// Server returns settings for incoming connections that follow every Reload.
// protocols are those offered by ALPN.
func (d *Door) Server(protocols ...string) *tls.Config {
	return &tls.Config{
		// What counts is what GetConfigForClient returns.
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			l := d.load()
			if l.cert == nil {
				return nil, fault.Newf(fault.Invalid, "%s has no cert_file", d.kind.block)
			}
			c := &tls.Config{
				Certificates: []tls.Certificate{*l.cert},
				MinVersion:   l.min,
				CipherSuites: l.suites,
				ClientCAs:    l.roots,
				NextProtos:   protocols,
				// A resumed session would live on what was verified before a Reload.
				SessionTicketsDisabled: true,
			}
			switch {
			case l.part.VerifyIncoming:
				c.ClientAuth = tls.RequireAndVerifyClientCert
			case d.kind.asks && l.roots != nil:
				c.ClientAuth = tls.RequestClientCert
			}
			return c, nil
		},
	}
}

// Client returns settings for an outgoing connection. The name is verified,
// except between agents while verify_server_hostname is off; without ca_file and
// ca_path every peer is refused. The settings follow Reload but for the lowest version and the suites.
func (d *Door) Client(serverName string) *tls.Config {
	l := d.load()
	return &tls.Config{
		ServerName:   serverName,
		MinVersion:   l.min,
		CipherSuites: l.suites,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if l := d.load(); l.cert != nil {
				return l.cert, nil
			}
			return new(tls.Certificate), nil
		},
		// VerifyConnection verifies instead, so that the authorities follow Reload
		// and the name can be left out.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			l := d.load()
			name := serverName
			if d.kind.anyName && !l.part.VerifyServerHostname {
				name = ""
			}
			return l.verify(raw(cs), name, x509.ExtKeyUsageServerAuth, time.Now())
		},
	}
}

// Service returns settings for a connection to a service that is no agent. This
// agent's certificate is shown to all who ask; the service's must come from the
// door's authorities, or from the machine's if the door has none. They are what is
// loaded now: to follow Reload, ask again for each connection. The caller adds the
// name, and may change them.
func (d *Door) Service() *tls.Config {
	l := d.load()
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: l.roots}
	if l.cert != nil {
		// Also to those whose list of authorities does not name this one's: they know
		// best whom they take, and say so.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return l.cert, nil }
	}
	return c
}

// RequireServer says why the peer of an incoming connection is no server of this
// datacenter: its certificate must come from an authority and carry the name
// server.DATACENTER.DOMAIN. Clients have certificates of the same authority, and
// must not speak raft.
func (d *Door) RequireServer(cs tls.ConnectionState) error {
	l := d.load()
	return l.verify(raw(cs), l.cfg.serverName(l.cfg.Datacenter), x509.ExtKeyUsageClientAuth, time.Now())
}

func raw(cs tls.ConnectionState) [][]byte {
	out := make([][]byte, len(cs.PeerCertificates))
	for i, c := range cs.PeerCertificates {
		out[i] = c.Raw
	}
	return out
}
