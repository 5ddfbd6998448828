package configs

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The keys of the doors: what may come in, how much of it, and what is written
// down of it.

type requestLimitsFile struct {
	Mode            *string  `hcl:"mode" doc:"disabled, permissive (exceeding is only told of) or enforcing"`
	ReadRate        *float64 `hcl:"read_rate" doc:"reads a second; -1 is no limit"`
	WriteRate       *float64 `hcl:"write_rate" doc:"writes a second; -1 is no limit"`
	SourceReadRate  *float64 `hcl:"source_read_rate" doc:"reads a second from one address; -1 is no limit"`
	SourceWriteRate *float64 `hcl:"source_write_rate" doc:"writes a second from one address; -1 is no limit"`
}

type auditFile struct {
	Enabled *bool                    `hcl:"enabled" doc:"write down each request over HTTP"`
	Sinks   map[string]auditSinkFile `hcl:"sink" doc:"where to, by a name of your choice"`
}

type auditSinkFile struct {
	Type              *string        `hcl:"type" doc:"file"`
	Format            *string        `hcl:"format" doc:"json"`
	Path              *string        `hcl:"path" doc:"file to write to"`
	DeliveryGuarantee *string        `hcl:"delivery_guarantee" doc:"best-effort: a disk that does not keep up holds no request up"`
	Mode              *string        `hcl:"mode" doc:"mode of the file in octal; default is 0600"`
	RotateDuration    *time.Duration `hcl:"rotate_duration" doc:"age at which the file is changed"`
	RotateBytes       *int           `hcl:"rotate_bytes" doc:"size at which the file is changed"`
	RotateMaxFiles    *int           `hcl:"rotate_max_files" doc:"old files kept; 0 keeps all"`
}

// Audit is the log of who did what over HTTP.
type Audit struct {
	Enabled bool
	Sinks   []AuditSink // in the order of their names
}

// AuditSink is one file of it.
type AuditSink struct {
	Name           string
	Path           string
	Mode           uint32
	RotateDuration time.Duration // 0 = not by age
	RotateBytes    int           // 0 = not by size
	RotateMaxFiles int           // 0 = all are kept
}

// RequestLimits are a server's limits on requests; rates below 0 are none.
type RequestLimits struct {
	Mode            string // disabled, permissive or enforcing
	ReadRate        float64
	WriteRate       float64
	SourceReadRate  float64
	SourceWriteRate float64
}

func httpOf(r *resolver) HTTP {
	f := r.f
	h := HTTP{
		ResponseHeaders: f.HTTP.ResponseHeaders, BlockEndpoints: f.HTTP.BlockEndpoints, MaxHeaderBytes: value(f.HTTP.MaxHeaderBytes),
		NoCache:      !or(f.HTTP.UseCache, true),
		AllowAnyChar: value(f.DisableCharFilter), EnableDebug: value(f.EnableDebug), UI: value(f.UI.Enabled) || value(f.UI.Dir) != "",
		UIDir: value(f.UI.Dir), UIPath: value(f.UI.ContentPath), Dashboard: dashboardOf(r), Metrics: metricsOf(r),
	}
	for _, text := range f.HTTP.AllowWriteHTTPFrom {
		if p, err := netip.ParsePrefix(text); err == nil { // words names those that are none
			h.WriteFrom = append(h.WriteFrom, p)
		}
	}
	for _, name := range f.HTTP.AllowedHosts {
		plain := strings.TrimPrefix(name, "*.")
		if name != "*" && (plain == "" || strings.ContainsAny(plain, "*/:@ ")) {
			r.errorf("http_config.allowed_hosts", "http_config.allowed_hosts: %q is not a name such as consul.example.com or *.example.com, without a port", name)
			continue
		}
		h.AllowedHosts = append(h.AllowedHosts, strings.ToLower(strings.TrimSuffix(name, ".")))
	}
	return h
}

func limitsOf(r *resolver) Limits {
	f := r.f.Limits
	l := Limits{
		HTTPMaxConnsPerClient: value(f.HTTPMaxConnsPerClient), HTTPSHandshakeTimeout: value(f.HTTPSHandshakeTimeout),
		RPCMaxConnsPerClient: value(f.RPCMaxConnsPerClient), RPCHandshakeTimeout: value(f.RPCHandshakeTimeout),
		RPCClientTimeout: value(f.RPCClientTimeout), RPCRate: or(f.RPCRate, -1), RPCMaxBurst: value(f.RPCMaxBurst),
		KVMaxValueSize: value(f.KVMaxValueSize), TxnMaxReqLen: value(f.TxnMaxReqLen),
	}
	q := f.RequestLimits
	l.Requests = RequestLimits{
		Mode: or(q.Mode, "disabled"), ReadRate: or(q.ReadRate, -1), WriteRate: or(q.WriteRate, -1),
		SourceReadRate: or(q.SourceReadRate, -1), SourceWriteRate: or(q.SourceWriteRate, -1),
	}
	for _, d := range []struct {
		key   string
		given time.Duration
	}{{"limits.https_handshake_timeout", l.HTTPSHandshakeTimeout}, {"limits.rpc_handshake_timeout", l.RPCHandshakeTimeout}} {
		if d.given <= 0 {
			r.errorf(d.key, "%s cannot be %s. Must be more than 0", d.key, d.given)
		}
	}
	return l
}

// auditOf judges the audit log's keys as strictly as what is written there is worth.
func auditOf(r *resolver) Audit {
	f := r.f.Audit
	a := Audit{Enabled: value(f.Enabled)}
	for _, name := range sorted(f.Sinks) {
		sink := f.Sinks[name]
		key := "audit.sink." + name
		for _, one := range []struct {
			key, given string
			known      []string
		}{
			{"type", value(sink.Type), []string{"file"}},
			{"format", or(sink.Format, "json"), []string{"json"}},
			{"delivery_guarantee", or(sink.DeliveryGuarantee, "best-effort"), []string{"best-effort"}},
		} {
			if !slices.Contains(one.known, one.given) {
				r.errorf(key+"."+one.key, "audit.sink %q: %s cannot be %q: use %s", name, one.key, one.given, strings.Join(one.known, " or "))
			}
		}
		out := AuditSink{
			Name: name, Path: value(sink.Path), RotateDuration: value(sink.RotateDuration),
			RotateBytes: value(sink.RotateBytes), RotateMaxFiles: value(sink.RotateMaxFiles),
		}
		if out.Path == "" {
			r.errorf(key+".path", "audit.sink %q: path is missing", name)
		}
		mode, err := strconv.ParseUint(or(sink.Mode, "0600"), 8, 32)
		if err != nil || mode > 0o777 || mode&0o600 != 0o600 {
			r.errorf(key+".mode", "audit.sink %q: mode %q is not an octal mode that lets the agent read and write, such as 0600", name, value(sink.Mode))
		}
		out.Mode = uint32(mode)
		if out.RotateDuration < 0 || out.RotateBytes < 0 || out.RotateMaxFiles < 0 {
			r.errorf(key, "audit.sink %q: rotate_duration, rotate_bytes and rotate_max_files cannot be negative", name)
		}
		if out.RotateDuration == 0 && out.RotateBytes == 0 {
			r.errorf(key, "audit.sink %q: rotate_duration or rotate_bytes is needed, so that the file does not grow for ever", name)
		}
		a.Sinks = append(a.Sinks, out)
	}
	if a.Enabled && len(a.Sinks) == 0 {
		r.errorf("audit.enabled", "audit is enabled but has no sink to write to")
	}
	return a
}
