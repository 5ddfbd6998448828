package conformance

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// maxChain bounds how many CNAMEs a recursor follows, as the format says.
const maxChain = 10

// ednsSize is the UDP size in a recursor's OPT record, as the format says.
const ednsSize = 1232

// recursor plays an upstream DNS server over UDP and TCP.
type recursor struct {
	spec    RecursorSpec
	records []dns.RR
	addr    string
	udp     *dns.Server
	tcp     *dns.Server
	done    sync.WaitGroup
	stop    chan struct{}
}

// startRecursor listens at ip on any port that is free for UDP and TCP.
func startRecursor(spec RecursorSpec, ip string) (*recursor, error) {
	r := &recursor{spec: spec, stop: make(chan struct{})}
	for _, line := range spec.Records {
		rr, err := dns.NewRR(line)
		if err != nil {
			return nil, fmt.Errorf("recursor %s: %w", spec.Name, err)
		}
		r.records = append(r.records, rr)
	}
	ln, err := net.Listen("tcp", ip+":0")
	if err != nil {
		return nil, err
	}
	r.addr = ln.Addr().String()
	if spec.Down {
		return r, ln.Close()
	}
	pc, err := net.ListenPacket("udp", r.addr)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	r.tcp = &dns.Server{Listener: ln, Handler: r}
	r.udp = &dns.Server{PacketConn: pc, Handler: r}
	for _, s := range []*dns.Server{r.tcp, r.udp} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		r.done.Go(func() { _ = s.ActivateAndServe() }) // ends with Shutdown
		<-ready
	}
	return r, nil
}

// Close stops the server and waits for it.
func (r *recursor) Close() {
	if r.udp == nil {
		return
	}
	close(r.stop)
	_ = r.udp.Shutdown()
	_ = r.tcp.Shutdown()
	r.done.Wait()
}

// ServeDNS answers one question by the rules of the format.
func (r *recursor) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionDesired = q.RecursionDesired
	m.RecursionAvailable = r.spec.RA
	if len(q.Question) == 0 {
		_ = w.WriteMsg(m)
		return
	}
	name := q.Question[0].Name
	var o RecursorOverride
	for _, cand := range r.spec.Overrides {
		if cand.Name == "*" || strings.EqualFold(cand.Name, name) {
			o = cand
			break
		}
	}
	if o.Drop {
		return
	}
	if o.DelayMS > 0 {
		t := time.NewTimer(time.Duration(o.DelayMS) * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.stop:
			return
		}
	}
	m.Authoritative = o.AA
	if o.Rcode != "" {
		m.Rcode = dns.StringToRcode[o.Rcode]
		_ = w.WriteMsg(m)
		return
	}
	if q.IsEdns0() != nil {
		m.SetEdns0(ednsSize, false)
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && o.TC {
		m.Truncated = true
		_ = w.WriteMsg(m)
		return
	}
	var known bool
	m.Answer, known = r.lookup(name, q.Question[0].Qtype)
	if !known {
		m.Rcode = dns.RcodeNameError
	}
	_ = w.WriteMsg(m) // the asker may be gone; there is nobody to tell
}

func (r *recursor) lookup(name string, qtype uint16) (answer []dns.RR, known bool) {
	target := name
	for range maxChain {
		next := ""
		for _, rr := range r.records {
			h := rr.Header()
			if !strings.EqualFold(h.Name, target) {
				continue
			}
			known = true
			if h.Rrtype != qtype && h.Rrtype != dns.TypeCNAME && qtype != dns.TypeANY {
				continue
			}
			rr = dns.Copy(rr)
			if target == name {
				rr.Header().Name = name
			}
			answer = append(answer, rr)
			if c, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME {
				next = c.Target
			}
		}
		if next == "" {
			break
		}
		target = next
	}
	return answer, known
}
