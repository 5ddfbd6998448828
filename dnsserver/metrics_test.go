package dnsserver

import (
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/zap/zaptest"

	"consul.internal/internal/metrics"
)

func TestMetrics(t *testing.T) {
	r := metrics.New(metrics.DefaultConfig())
	cfg := DefaultConfig()
	cfg.Addrs = []string{"127.0.0.1:0"}
	s, err := New(cfg, Deps{Source: webSource(2), Logger: zaptest.NewLogger(t), Metrics: r})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, s, question("web.service.consul.", dns.TypeA), false)
	ask(t, s, question("web.service.consul.", dns.TypeA), true)
	ask(t, s, question("nosuch.service.consul.", dns.TypeSRV), false)
	for qtype := range uint16(100) { // whatever type is asked for makes no series of its own
		ask(t, s, question("web.service.consul.", 20000+qtype), false)
	}
	ask(t, s, question("1.0.0.10.IN-addr.ARPA.", dns.TypePTR), false)
	ask(t, s, question("example.com.", dns.TypeA), false)
	got := string(r.PrometheusText())
	for _, want := range []string{
		`consul_dns_domain_query_count{type="A"} 3`, `consul_dns_domain_query_count{type="SRV"} 1`, `consul_dns_domain_query_count{type="other"} 100`,
		"consul_dns_ptr_query_count 1", `consul_dns_responses{rcode="NXDOMAIN"} `, `consul_dns_responses{rcode="NOERROR"} `, "consul_dns_stale_queries 0", "consul_dns_dropped 0",
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^consul_dns_domain_query_count`).FindAllString(got, -1)); n != len(timed)+1 {
		t.Errorf("%d types are timed", n)
	}
	for code := range maxRcode {
		if (rcodeName(code) == "") != (code > 11 && code < 16) {
			t.Errorf("code %d is %q", code, rcodeName(code))
		}
	}
}
