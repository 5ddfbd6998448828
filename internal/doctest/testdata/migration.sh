first server-1 10.0.0.1
machine old 10.0.0.9
cat >"$W/old.hcl" <<HCL
client_addr = "10.0.0.9 127.0.0.1"
HCL
put old "$W/old.hcl" /etc/consul.d/old.hcl
server 1 server-1
server 1 old
sed -i '/retry_join/d' /etc/consul.d/agent.hcl
cat >"$W/fill.sh" <<'SH'
until consul kv put app/color green; do sleep 0.1; done
echo 'Kind = "service-resolver" Name = "web" Redirect { Service = "www" }' | consul config write -
SH
on old "$W/fill.sh"
ready
