package configs

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"consul.internal/internal/metrics"
	"consul.internal/kv"
)

// words checks keys that take one of a few words.
func (r *resolver) words() {
	f := r.f
	for _, one := range []struct {
		key   string
		given *string
		known []string
	}{
		{"acl.default_policy", f.ACL.DefaultPolicy, []string{"allow", "deny"}},
		{"acl.down_policy", f.ACL.DownPolicy, []string{"allow", "deny", "extend-cache", "async-cache"}},
		{"default_intention_policy", f.DefaultIntention, []string{"", "allow", "deny"}},
		{"dns_config.recursor_strategy", f.DNS.RecursorStrategy, []string{"sequential", "random"}},
		{"dns_config.sort", f.DNS.Sort, []string{"random", "near"}},
		{"limits.request_limits.mode", f.Limits.RequestLimits.Mode, []string{"disabled", "permissive", "enforcing"}},
	} {
		if one.given != nil && !slices.Contains(one.known, *one.given) {
			known := slices.DeleteFunc(one.known, func(s string) bool { return s == "" })
			r.errorf(one.key, "%s cannot be %q: use %s", one.key, *one.given, strings.Join(known, " or "))
		}
	}
	for _, one := range []struct {
		key   string
		given []string
	}{
		{"serf_lan_allowed_cidrs", f.SerfLANCIDRs},
		{"serf_wan_allowed_cidrs", f.SerfWANCIDRs},
		{"http_config.allow_write_http_from", f.HTTP.AllowWriteHTTPFrom},
	} {
		for _, text := range one.given {
			if _, err := netip.ParsePrefix(text); err != nil {
				r.errorf(one.key, "%s: %q is not a network such as 10.0.0.0/8", one.key, text)
			}
		}
	}
	if _, named := r.where["ui_config.enabled"]; named && value(f.UI.Enabled) && value(f.UI.Dir) != "" {
		r.errorf("ui_config.dir", "ui_config.enabled and ui_config.dir exclude each other: the directory alone serves the web interface from there")
	}
}

// bounds checks numbers and durations that only make sense from some value on.
func (r *resolver) bounds() {
	f := r.f
	for _, one := range []struct {
		key   string
		given *int
		least int
	}{
		{"dns_config.udp_answer_limit", f.DNS.UDPAnswerLimit, 0},
		{"dns_config.a_record_limit", f.DNS.ARecordLimit, 0},
		{"dns_config.soa.refresh", f.DNS.SOA.Refresh, 0},
		{"dns_config.soa.retry", f.DNS.SOA.Retry, 0},
		{"dns_config.soa.expire", f.DNS.SOA.Expire, 0},
		{"dns_config.soa.min_ttl", f.DNS.SOA.MinTTL, 0},
		{"limits.http_max_conns_per_client", f.Limits.HTTPMaxConnsPerClient, 0},
		{"limits.rpc_max_conns_per_client", f.Limits.RPCMaxConnsPerClient, 0},
		{"limits.kv_max_value_size", f.Limits.KVMaxValueSize, 1},
		{"limits.txn_max_req_len", f.Limits.TxnMaxReqLen, 1},
		{"limits.rpc_max_burst", f.Limits.RPCMaxBurst, 0},
		{"check_output_max_size", f.CheckOutputMaxSize, 1},
		{"raft_snapshot_threshold", f.RaftSnapshotThreshold, 1},
		{"raft_trailing_logs", f.RaftTrailingLogs, 1},
		{"http_config.max_header_bytes", f.HTTP.MaxHeaderBytes, 1},
		{"retry_max", f.RetryMax, 0},
		{"retry_max_wan", f.RetryMaxWAN, 0},
		{"log_rotate_bytes", f.LogRotateBytes, 0},
		{"log_rotate_max_files", f.LogRotateMaxFiles, -1},
	} {
		switch {
		case one.given == nil || *one.given >= one.least:
		case one.least == 0:
			r.errorf(one.key, "%s cannot be %d. Must be greater than or equal to zero", one.key, *one.given)
		default:
			r.errorf(one.key, "%s cannot be %d. Must be %d or more", one.key, *one.given, one.least)
		}
	}
	for _, one := range []struct {
		key   string
		given *time.Duration
		least time.Duration
	}{
		{"dns_config.node_ttl", f.DNS.NodeTTL, 0},
		{"dns_config.ptr_ttl", f.DNS.PTRTTL, 0},
		{"dns_config.max_stale", f.DNS.MaxStale, 0},
		{"dns_config.recursor_timeout", f.DNS.RecursorTimeout, time.Millisecond},
		{"discovery_max_stale", f.DiscoveryMaxStale, 0},
		{"default_query_time", f.DefaultQueryTime, time.Millisecond},
		{"max_query_time", f.MaxQueryTime, time.Millisecond},
		{"check_update_interval", f.CheckUpdateInterval, 0},
		{"performance.leave_drain_time", f.Performance.LeaveDrainTime, 0},
		{"performance.rpc_hold_timeout", f.Performance.RPCHoldTimeout, 0},
		{"raft_snapshot_interval", f.RaftSnapshotInterval, time.Second},
		{"retry_interval", f.RetryInterval, time.Millisecond},
		{"retry_interval_wan", f.RetryIntervalWAN, time.Millisecond},
		{"telemetry.prometheus_retention_time", f.Telemetry.PrometheusRetention, 0},
		{"log_rotate_duration", f.LogRotateDuration, 0},
		{"acl.token_ttl", f.ACL.TokenTTL, 0},
		{"acl.policy_ttl", f.ACL.PolicyTTL, 0},
		{"acl.role_ttl", f.ACL.RoleTTL, 0},
		// a node must not be forgotten in less than a short outage
		{"reconnect_timeout", f.ReconnectTimeout, 8 * time.Hour},
		{"reconnect_timeout_wan", f.ReconnectTimeoutWAN, 8 * time.Hour},
		{"advertise_reconnect_timeout", f.AdvertiseReconnect, 0},
		{"server_rejoin_age_max", f.ServerRejoinAgeMax, 6 * time.Hour},
		{"session_ttl_min", f.SessionTTLMin, kv.LeastTTL},
	} {
		if one.given != nil && *one.given < one.least {
			r.errorf(one.key, "%s cannot be %s. Must be %s or more", one.key, *one.given, one.least)
		}
	}
	if d, m := value(f.DefaultQueryTime), value(f.MaxQueryTime); d > m {
		r.errorf("default_query_time", "default_query_time (%s) cannot be longer than max_query_time (%s)", d, m)
	}
	for _, filter := range f.Telemetry.PrefixFilter {
		if !strings.HasPrefix(filter, "+") && !strings.HasPrefix(filter, "-") {
			r.errorf("telemetry.prefix_filter", "telemetry.prefix_filter: %q must begin with + (keep) or - (drop)", filter)
		}
	}
	for _, one := range []struct {
		key   string
		given *string
	}{
		{"telemetry.statsd_address", f.Telemetry.StatsdAddr},
		{"telemetry.statsite_address", f.Telemetry.StatsiteAddr},
		{"telemetry.dogstatsd_addr", f.Telemetry.DogstatsdAddr},
	} {
		if c := (metrics.Collector{Addr: value(one.given)}); c.Addr != "" {
			if err := c.Validate(); err != nil {
				r.errorf(one.key, "%s: %q is no host:port: %v", one.key, c.Addr, err)
			}
		}
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
