package configs

import (
	"strings"

	"consul.internal/dnsserver"
)

// names judges the zone's names as the DNS server will, so that what is wrong
// with them has its place in a file and is known before anything starts.
func (r *resolver) names(d *DNS) {
	cfg := dnsserver.DefaultConfig()
	cfg.Domain, cfg.AltDomain, cfg.ServiceTTL = d.Domain, d.AltDomain, d.ServiceTTL
	cfg.Guard = d.Guard
	if dc := value(r.f.Datacenter); dc != "" {
		cfg.Datacenter = dc
	}
	err := cfg.Validate()
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		key, _, _ := strings.Cut(line, ":")
		if i := strings.IndexByte(key, '['); i > 0 {
			key = key[:i]
		}
		if key == "datacenter" {
			continue // judged with the node's other names
		}
		r.errorf(key, "%s", line)
	}
}
