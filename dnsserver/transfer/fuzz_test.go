package transfer

import (
	"net"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// FuzzServe: whatever a connection says, it gets an answer or its end.
func FuzzServe(f *testing.F) {
	for _, m := range []*dns.Msg{axfr(), ixfr(1), new(dns.Msg).SetQuestion("consul.", dns.TypeSOA)} {
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
		m.SetTsig("second.", dns.HmacSHA256, 300, 1700000000)
		if wire, _, err = dns.TsigGenerate(m, secret, "", false); err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		cfg := allowed()
		cfg.Keys = []Key{{"second", "hmac-sha256", secret}}
		st := newState(t, cfg, nil)
		if !Asks(wire) {
			return
		}
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = st.s.Serve(t.Context(), there, wire, netip.MustParseAddr("192.0.2.7"))
			_ = there.Close()
		}()
		c := &dns.Conn{Conn: here}
		for {
			raw, err := c.ReadMsgHeader(nil)
			if err != nil {
				break
			}
			if new(dns.Msg).Unpack(raw) != nil {
				t.Errorf("%x is answered with %x", wire, raw)
			}
		}
		<-done
	})
}
