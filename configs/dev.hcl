# What -dev adds to the defaults: one server in memory, reachable from this
# machine only, and talkative.

server      = true
bind_addr   = "127.0.0.1"
client_addr = "127.0.0.1"
log_level   = "DEBUG"

enable_debug                = true
disable_anonymous_signature = true
disable_keyring_file        = true

performance {
  leave_drain_time = "0s"
}

ui_config {
  enabled = true
}
