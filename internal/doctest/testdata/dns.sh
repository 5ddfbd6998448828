first server-1 10.0.0.1
(cd "$W" && consul tls ca create && consul tls cert create -server) >/dev/null
cat >"$W/doors.hcl" <<HCL
tls { defaults { ca_file = "$W/consul-agent-ca.pem" cert_file = "$W/dc1-server-consul-0.pem" key_file = "$W/dc1-server-consul-0-key.pem" } }
ports { dns_tls = 853 https = 8501 }
client_addr = "127.0.0.1 10.0.0.1"
service { name = "web" port = 80 }
HCL
put server-1 "$W/doors.hcl" /etc/consul.d/doors.hcl
server 1 server-1
ready
