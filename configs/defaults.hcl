# What applies where nothing else is said. Read before all files and flags.

datacenter = "dc1"
domain     = "consul."
protocol   = 2
server     = false

raft_protocol           = 3
raft_snapshot_threshold = 16384
raft_snapshot_interval  = "30s"
raft_trailing_logs      = 10240
server_rejoin_age_max   = "168h"

bind_addr   = "0.0.0.0"
client_addr = "127.0.0.1"

ports {
  dns              = 8600
  http             = 8500
  https            = -1
  grpc             = -1
  grpc_tls         = -1
  serf_lan         = 8301
  serf_wan         = 8302
  server           = 8300
  sidecar_min_port = 21000
  sidecar_max_port = 21255
  expose_min_port  = 21500
  expose_max_port  = 21755
}

performance {
  leave_drain_time        = "5s"
  raft_multiplier         = 1
  rpc_hold_timeout        = "7s"
  grpc_keepalive_interval = "30s"
  grpc_keepalive_timeout  = "20s"
}

limits {
  http_max_conns_per_client = 200
  https_handshake_timeout   = "5s"
  rpc_handshake_timeout     = "5s"
  rpc_client_timeout        = "60s"
  rpc_max_conns_per_client  = 100
  rpc_rate                  = -1
  rpc_max_burst             = 1000
  kv_max_value_size         = 524288
  txn_max_req_len           = 524288
  request_limits {
    mode              = "disabled"
    read_rate         = -1
    write_rate        = -1
    source_read_rate  = -1
    source_write_rate = -1
  }
}

dns_config {
  allow_stale                     = true
  a_record_limit                  = 0
  max_stale                       = "87600h"
  node_ttl                        = "0s"
  ptr_ttl                         = "0s"
  recursor_timeout                = "2s"
  recursor_strategy               = "sequential"
  sort                            = "random"
  udp_answer_limit                = 3
  max_udp_size                    = 1232
  response_rate_limit             = 10000
  unknown_name_limit              = 1000
  enable_additional_node_meta_txt = true
  soa {
    refresh = 3600
    retry   = 600
    expire  = 86400
    min_ttl = 0
  }
}

default_query_time = "300s"
max_query_time     = "600s"

check_update_interval = "5m"
check_output_max_size = 4096

retry_interval        = "30s"
retry_interval_wan    = "30s"
retry_max             = 0
retry_max_wan         = 0
reconnect_timeout     = "72h"
reconnect_timeout_wan = "72h"
session_ttl_min       = "10s"
disable_remote_exec   = true

autopilot {
  cleanup_dead_servers      = true
  last_contact_threshold    = "200ms"
  max_trailing_logs         = 250
  min_quorum                = 0
  server_stabilization_time = "10s"
}

encrypt_verify_incoming = true
encrypt_verify_outgoing = true

log_level           = "INFO"
log_rotate_duration = "24h"
syslog_facility     = "LOCAL0"

telemetry {
  metrics_prefix            = "consul"
  filter_default            = true
  prometheus_retention_time = "60s"
  retry_failed_connection   = true
}

http_config {
  use_cache        = true
  max_header_bytes = 1048576
}

ui_config {
  content_path = "/ui/"
}

acl {
  enabled        = false
  default_policy = "allow"
  down_policy    = "extend-cache"
  policy_ttl     = "30s"
  role_ttl       = "30s"
  token_ttl      = "30s"
}

cache {
  entry_fetch_max_burst = 2
}

auto_reload_config = false

connect {
  enabled = false
}

peering {
  enabled = false
}
