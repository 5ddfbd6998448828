package configs

import (
	"consul.internal/dnsserver/observe"
	"consul.internal/dnsserver/zone"
)

const (
	// logSample is which part of the questions stands in a log that says no more than
	// where it is: at 10,000 questions a second 100 lines.
	logSample = 100
	// logBytes and logFiles keep it from filling a disk.
	logBytes = 100e6
	logFiles = 5
)

// observeOf reads who sees the questions of DNS.
func observeOf(r *resolver) observe.Config {
	f, l := &r.f.DNS.Tap, &r.f.DNS.QueryLog
	c := observe.Config{
		Tap: observe.Tap{Socket: value(f.Socket), Sample: value(f.Sample)},
		Log: observe.Log{Path: value(l.Path), Sample: value(l.Sample), MaxBytes: logBytes, Keep: logFiles},
	}
	if c.Log.Path != "" && l.Sample == nil {
		c.Log.Sample = logSample
	}
	if l.MaxBytes != nil {
		c.Log.MaxBytes = *l.MaxBytes
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
