package configs

import (
	"consul.internal/dnsserver/observe"
	"consul.internal/dnsserver/zone"
)

// observeOf reads who sees the questions of DNS.
func observeOf(r *resolver) observe.Config {
	f, l := &r.f.DNS.Tap, &r.f.DNS.QueryLog
	c := observe.Config{
		Tap: observe.Tap{Socket: value(f.Socket), Sample: value(f.Sample)},
		Log: observe.DefaultLog(value(l.Path), value(l.Sample)),
	}
	if l.MaxBytes != nil {
		c.Log.MaxBytes = int64(*l.MaxBytes)
	}
	if l.MaxFiles != nil {
		c.Log.Keep = *l.MaxFiles
	}
	if err := c.Validate(); err != nil {
		r.errorf("dns_config", "%v", err)
	}
	return c
}

// chaosOf reads what DNS tells of the agent itself.
func chaosOf(r *resolver) zone.Chaos {
	c := zone.Chaos{Version: value(r.f.DNS.VersionBind), Hostname: value(r.f.DNS.HostnameBind)}
	if err := c.Validate(); err != nil {
		r.errorf("dns_config", "%v", err)
	}
	return c
}
