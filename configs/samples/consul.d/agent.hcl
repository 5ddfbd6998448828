# Configuration of a Consul agent. All .hcl and .json files of this directory
# are read in the order of their names; "consul validate" checks them.
#
# As it stands: one server that is a whole cluster by itself and that only this
# machine can reach. Change what you need and run "systemctl restart consul";
# services, checks, dns_config, log_level and limits need a reload only.

datacenter = "dc1"

# Everything that must survive a restart. A flag -data-dir wins over it.
data_dir = "/var/lib/consul"

# One server alone. For three servers set 3 on all of them and name each other
# in retry_join; for a client leave both lines out.
server           = true
bootstrap_expect = 1

# Address for traffic between agents. Other machines need one that they can
# reach, such as "10.0.0.5" or "{{ GetPrivateIP }}".
bind_addr = "127.0.0.1"

# Addresses for DNS and HTTP, parted by blanks.
client_addr = "127.0.0.1"

# node_name = "machine-1"                  # default: the host name
# node_meta { rack = "r1" }                # shown with the node
# log_level = "INFO"                       # TRACE, DEBUG, INFO, WARN, ERROR

# retry_join = ["10.0.0.6", "10.0.0.7"]    # other agents of the datacenter
# encrypt    = ""                          # gossip key, made by "consul keygen"

# ports {
#   dns  = 8600                            # 53 is possible with the systemd unit
#   dns_tls = 853                          # DNS over TLS, with the certificate of tls.https
#   http = 8500
# }

# dns_config {
#   only_passing = false                   # true leaves out the state warning too
#   node_ttl     = "0s"
#   service_ttl { "*" = "0s" }             # by name, "prefix*" or "*"
# }

# enable_local_script_checks = true        # lets checks of these files run commands
