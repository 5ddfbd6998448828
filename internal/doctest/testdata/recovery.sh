first server-1 10.0.0.1
machine server-2 10.0.0.2
machine server-3 10.0.0.3
server 3 server-1,server-2,server-3
ready
consul kv put app/color green >"$W/put.log"
# A cluster of its own, whose first token nobody has written down.
machine tokens 10.0.0.8
cat >"$W/acl.hcl" <<HCL
server           = true
bootstrap_expect = 1
bind_addr        = "10.0.0.8"
acl { enabled = true default_policy = "deny" }
HCL
put tokens "$W/acl.hcl" /etc/consul.d/agent.hcl
echo 'systemctl start consul; until consul acl bootstrap >/dev/null 2>&1; do sleep 0.1; done' >"$W/lose.sh"
on tokens "$W/lose.sh"
