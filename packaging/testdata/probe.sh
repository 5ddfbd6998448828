#!/bin/bash
# Runs as a service of the booted root; each step that went well is a line of
# /probe-steps. However it ends, the root is switched off.
exec >/probe.log 2>&1 </dev/null
trap 'journalctl --no-pager -u consul | tail -n 30; systemctl poweroff --no-block' EXIT
set -ex
export DEBIAN_FRONTEND=noninteractive
step() { echo "$*" >>/probe-steps; }
pid() { systemctl show --property=MainPID --value consul; }
answers() {
	for _ in $(seq 300); do
		if [ "$(dig +short +time=1 +tries=1 @127.0.0.1 -p 8600 consul.service.consul)" = 127.0.0.1 ]; then return; fi
		sleep 0.2
	done
	return 1
}
step booted
dpkg -i /older.deb
[ "$(systemctl is-active consul)" = inactive ]
step installed
systemctl enable --now consul # returns when the agent has said READY=1
systemctl is-active consul
step started
first=$(pid)
[ "$(stat -c %U "/proc/$first")" = consul ]
grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$first/status"
grep -q '^CapEff:[[:space:]]*0000000000000400$' "/proc/$first/status" # NET_BIND_SERVICE alone
step user
answers
step answers
systemctl reload consul
systemctl is-active consul
[ "$(pid)" = "$first" ]
step reloaded
dpkg -i /newer.deb
systemctl is-active consul
[ "$(pid)" != "$first" ]
[ "$(systemctl is-enabled consul)" = enabled ]
step upgraded
answers
step answers again
dpkg --remove consul
[ "$(systemctl is-active consul)" != active ]
[ ! -e "/proc/$first" ]
step removed
dpkg --purge consul
[ -s /var/lib/consul/node-id ]
[ -s /var/lib/consul/raft/mark ]
step purged
