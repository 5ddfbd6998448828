#!/bin/bash
# demo.sh BINARY DIR: two datacenters on loopback addresses of this machine, each
# with SERVERS servers (default 3) and a client that has services; asks a name of
# the one at the other, prints what to try, and stays until Ctrl-C. Linux only:
# elsewhere loopback has one address.
set -euo pipefail
binary=$1 dir=$2 servers=${SERVERS:-3}
command -v dig >/dev/null || { echo "dig is needed to show the answers (Debian: apt install bind9-dnsutils)" >&2; exit 1; }
if (exec 3<>/dev/tcp/127.0.1.1/8500) 2>/dev/null; then
	echo "something answers on 127.0.1.1:8500: another make demo, or an agent that listens on all addresses" >&2
	exit 1
fi
rm -rf "$dir/dc1" "$dir/dc2"
mkdir -p "$dir"
pids=()

# In process groups of their own Ctrl-C reaches only this script, which then tells
# the agents: a second signal would end them by force.
agent() { # DATACENTER NAME ADDRESS FLAGS...
	local home=$dir/$1/$2
	mkdir -p "$home/config"
	set -m
	"$binary" agent -datacenter="$1" -node="$2" -bind="$3" -client="$3" -data-dir="$home/data" -config-dir="$home/config" "${@:4}" >"$home/log" 2>&1 &
	set +m
	pids+=($!)
}

finish() {
	trap '' INT TERM
	kill -TERM "${pids[@]}" 2>/dev/null || true
	for _ in $(seq 100); do
		kill -0 "${pids[@]}" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "${pids[@]}" 2>/dev/null || true
	wait "${pids[@]}" 2>/dev/null || true
}
trap finish EXIT
trap 'exit 0' INT TERM

for n in 1 2; do
	join=() wan=()
	for i in $(seq "$servers"); do
		join+=("-retry-join=127.0.$n.$i")
		wan+=("-retry-join-wan=127.0.1.$i" "-retry-join-wan=127.0.2.$i")
	done
	for i in $(seq "$servers"); do
		agent "dc$n" "server-$i" "127.0.$n.$i" -server -bootstrap-expect="$servers" "${join[@]}" "${wan[@]}"
	done
	mkdir -p "$dir/dc$n/client/config"
	cat >"$dir/dc$n/client/config/services.hcl" <<HCL
service {
  name = "web"
  port = 8080
  tags = ["dc$n"]
  check {
    name   = "web reports"
    ttl    = "8760h"
    status = "passing"
  }
}
HCL
	agent "dc$n" client "127.0.$n.100" "${join[@]}"
done

# across FROM TO: asks the client of one datacenter for the service of the other.
across() { dig +short +time=2 +tries=1 "@127.0.$1.100" -p 8600 "web.service.dc$2.consul" SRV 2>/dev/null | grep -v '^;' || true; }
ready=
for _ in $(seq 300); do
	for pid in "${pids[@]}"; do
		if ! kill -0 "$pid" 2>/dev/null; then
			echo "an agent ended; the logs ($dir/*/*/log) say:" >&2
			grep -hE 'ERROR|==>' "$dir"/*/*/log | tail -n 10 >&2
			exit 1
		fi
	done
	if [ -n "$(across 1 2)" ] && [ -n "$(across 2 1)" ]; then
		ready=1
		break
	fi
	sleep 0.2
done
if [ -z "$ready" ]; then
	echo "the datacenters did not find each other in a minute; the logs ($dir/*/*/log) say:" >&2
	grep -hE 'ERROR|WARN' "$dir"/*/*/log | tail -n 20 >&2
	exit 1
fi

cat <<TEXT
Two datacenters run on this machine, after $SECONDS seconds:
  dc1: $servers servers at 127.0.1.1 and on, a client at 127.0.1.100
  dc2: $servers servers at 127.0.2.1 and on, a client at 127.0.2.100

The client of dc1, asked for a service of dc2:
  dig +short @127.0.1.100 -p 8600 web.service.dc2.consul SRV
$(across 1 2 | sed 's/^/    /')

Try in a second shell:
  dig @127.0.2.100 -p 8600 web.service.dc1.consul SRV
  dig @127.0.1.100 -p 8600 +short web.service.all.consul
  $binary members -wan -http-addr=127.0.1.1:8500
  $binary catalog services -datacenter=dc2 -http-addr=127.0.1.100:8500
Make the service of dc2 fail, ask for it at dc1 again, then heal it:
  curl -X PUT http://127.0.2.100:8500/v1/agent/check/fail/service:web
  curl -X PUT http://127.0.2.100:8500/v1/agent/check/pass/service:web
Logs: $dir/*/*/log
Ctrl-C ends all of it.
TEXT
# wait ends with the first agent that ends by itself.
wait -n "${pids[@]}" || true
echo "an agent ended; its log is one of $dir/*/*/log" >&2
exit 1
