first server-1 10.0.0.1
machine other 10.1.0.1
cat >"$W/other.hcl" <<HCL
datacenter = "dc2"
node_name  = "server-1"
service { name = "web" port = 8080 }
HCL
put other "$W/other.hcl" /etc/consul.d/dc2.hcl
server 1 server-1
server 1 other
