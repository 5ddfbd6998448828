package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"consul.internal/dnsserver/zone"
)

// secondary is one that is told of changes.
type secondary struct {
	s      *Server
	to     netip.AddrPort
	from   netip.Addr // invalid: any
	key    *Key       // nil: what it is told is not signed
	domain string
	news   chan struct{}
}

func dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if from.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "udp", to.String())
}

func newSecondary(s *Server, to netip.AddrPort, cfg *Config, opt zone.Options) *secondary {
	return &secondary{
		s: s, to: to, from: cfg.from(to.Addr()), key: cfg.signer(), domain: dns.CanonicalName(strings.TrimPrefix(opt.Domain, ".")), news: make(chan struct{}, 1),
	}
}

// tell has it told of the newest version, some time soon.
func (t *secondary) tell() {
	select {
	case t.news <- struct{}{}:
	default: // it will be
	}
}

// run tells of changes until ctx ends, each until it is answered.
func (t *secondary) run(ctx context.Context) {
	pause, failing := t.s.limits.notifyMin, false
	for {
		select {
		case <-t.news:
		case <-ctx.Done():
			return
		}
		err := t.notify(ctx)
		log := t.s.deps.Logger.With(zap.Stringer("secondary", t.to))
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			t.s.count.told.Add(1)
			if failing {
				log.Info("a secondary takes word of changes again")
			}
			pause, failing = t.s.limits.notifyMin, false
		default:
			t.s.count.untold.Add(1)
			if !failing {
				log.Warn("a secondary was not told that the zone has changed; it is told again until it answers", zap.Error(err))
			}
			failing = true
			t.tell()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if failing {
			pause = min(2*pause, t.s.limits.notifyMax)
		}
	}
}

// notify tells of the newest version, and waits for the answer.
func (t *secondary) notify(ctx context.Context) error {
	t.s.mu.Lock()
	v := t.s.version
	t.s.mu.Unlock()
	if v == nil {
		return nil // a new one will be told of
	}
	ctx, cancel := context.WithTimeout(ctx, t.s.limits.notifyReply)
	defer cancel()
	c, err := t.s.deps.Dial(ctx, t.from, t.to)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing is lost
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	m := new(dns.Msg)
	m.SetNotify(t.domain)
	m.Answer = []dns.RR{v.soa}
	conn := &dns.Conn{Conn: c}
	if t.key != nil {
		conn.TsigSecret = map[string]string{t.key.fqdn(): t.key.Secret}
		m.SetTsig(t.key.fqdn(), t.key.algorithm(), fudge, time.Now().Unix())
	}
	if err := conn.WriteMsg(m); err != nil {
		return err
	}
	for {
		r, err := conn.ReadMsg()
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("no reply within %v", t.s.limits.notifyReply)
		case err != nil && r == nil:
			return err
		case r.Id != m.Id || !r.Response || r.Opcode != dns.OpcodeNotify:
			continue // of somebody else, or late
		case err != nil:
			return fmt.Errorf("the signature of its reply: %w", err)
		case r.Rcode != dns.RcodeSuccess:
			return fmt.Errorf("it says %s", dns.RcodeToString[r.Rcode])
		case t.key != nil && r.IsTsig() == nil:
			return errors.New("its reply is not signed")
		}
		return nil
	}
}
