package transfer

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
)

// fudge is by how much clocks may differ, in seconds (RFC 8945, section 10).
const fudge = 300

// Signer signs the replies to one query. The zero value signs nothing.
type Signer struct {
	key   *Key
	mac   string // of what went before: the query, then each message
	later bool   // the first message has been signed
	code  uint16 // what is wrong with the query's signature, 0 for nothing
}

// verify looks at the signature of a query, if it has one. Of a bad one, the signer
// says in the reply what is wrong with it (RFC 8945, section 5.2), and err why.
func (c *Config) verify(m *dns.Msg, wire []byte) (*Signer, error) {
	sig := m.IsTsig()
	if sig == nil {
		return &Signer{}, nil
	}
	k := c.key(dns.CanonicalName(sig.Hdr.Name))
	if k == nil || dns.CanonicalName(sig.Algorithm) != k.algorithm() {
		return &Signer{key: &Key{Name: sig.Hdr.Name, Algorithm: sig.Algorithm}, code: dns.RcodeBadKey}, errors.New("signed with a key that is not in dns_config.transfer")
	}
	s := &Signer{key: k, mac: sig.MAC}
	switch err := dns.TsigVerify(append([]byte(nil), wire...), k.Secret, "", false); {
	case errors.Is(err, dns.ErrTime):
		s.code = dns.RcodeBadTime
		return s, errors.New("signed at a time that is not now: compare the clocks")
	case err != nil:
		s.code = dns.RcodeBadSig
		return s, errors.New("signed wrongly: compare the secrets of the key")
	}
	return s, nil
}

// Good reports whether the query had a valid signature.
func (s *Signer) Good() bool { return s.key != nil && s.code == 0 }

// Signed reports whether replies get a TSIG record.
func (s *Signer) Signed() bool { return s.key != nil }

// Pack packs the next reply, with a signature if it needs one.
func (s *Signer) Pack(m *dns.Msg) ([]byte, error) {
	if s.key == nil {
		return m.Pack()
	}
	m.SetTsig(dns.CanonicalName(s.key.Name), s.key.algorithm(), fudge, time.Now().Unix())
	sig := m.IsTsig()
	sig.Error = s.code
	if s.code == dns.RcodeBadTime { // our time goes with it (RFC 8945, section 5.2.3)
		sig.OtherLen, sig.OtherData = 6, fmt.Sprintf("%012x", sig.TimeSigned)
	}
	out, mac, err := dns.TsigGenerate(m, s.key.Secret, s.mac, s.later)
	if err != nil {
		return nil, err
	}
	s.mac, s.later = mac, true
	return out, nil
}

// Verify looks at the signature of any query that has one, with the keys of
// transfers: secondaries sign what they ask before, too. A nil signer is that the
// query has none, or there are no keys. Where bad is true, NOTAUTH is the reply.
func (s *Server) Verify(m *dns.Msg, wire []byte, from netip.Addr) (signer *Signer, bad bool) {
	cfg := s.config()
	if m.IsTsig() == nil || len(cfg.Keys) == 0 {
		return nil, false
	}
	signer, err := cfg.verify(m, wire)
	if err != nil {
		s.refuse(from, err)
	}
	return signer, err != nil
}

// refuse counts somebody who may not have the zone, and logs it now and then.
func (s *Server) refuse(from netip.Addr, why error) {
	s.count.refused.Add(1)
	if hidden, ok := s.log.allowed(s.limits.refusals); ok {
		s.deps.Logger.Warn("refused to give the zone away", zap.Stringer("to", from), zap.Error(why), zap.Int("others_since", hidden))
	}
}
