first server-1 10.0.0.1
echo 'service { name = "web" port = 80 }' >"$W/web.hcl"
put server-1 "$W/web.hcl" /etc/consul.d/web.hcl
server 1 server-1
