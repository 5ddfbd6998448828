#!/bin/bash
# run.sh BINARY DIR: starts one server on loopback with its data below DIR, loads
# the sample services, prints what to try, and stays until Ctrl-C.
set -euo pipefail
binary=$1 dir=$2
samples=$(dirname "$0")/../configs/samples/consul.d
mkdir -p "$dir"
if (exec 3<>/dev/tcp/127.0.0.1/8500) 2>/dev/null; then
	echo "something already answers on 127.0.0.1:8500; is another make run or agent running?" >&2
	exit 1
fi
export CONSUL_HTTP_ADDR=127.0.0.1:8500

# In a process group of its own Ctrl-C reaches only this script, which then tells
# the agent once: a second signal would end it by force.
set -m
"$binary" agent -config-file="$samples/agent.hcl" -node=demo -data-dir="$dir/data" >"$dir/agent.log" 2>&1 &
agent=$!
set +m
trap 'kill -TERM "$agent" 2>/dev/null || true' INT TERM
trap 'kill -KILL "$agent" 2>/dev/null || true' EXIT

# Registering waits for no leader: it is tried until the agent takes it.
ready=
for _ in $(seq 150); do
	if ! kill -0 "$agent" 2>/dev/null; then
		echo "the agent ended; its log ($dir/agent.log) says:" >&2
		tail -n 20 "$dir/agent.log" >&2
		exit 1
	fi
	if "$binary" services register "$samples/services.hcl" >"$dir/register.log" 2>&1 &&
		"$binary" catalog services >"$dir/services.log" 2>&1 && grep -q '^web' "$dir/services.log"; then
		ready=1
		break
	fi
	sleep 0.2
done
if [ -z "$ready" ]; then
	echo "the sample services could not be registered:" >&2
	cat "$dir/register.log" >&2
	tail -n 20 "$dir/agent.log" >&2
	exit 1
fi

cat <<TEXT
An agent is running (log: $dir/agent.log) with these services:
$(sed 's/^/  /' "$dir/services.log")

Try in a second shell:
  dig @127.0.0.1 -p 8600 web.service.dc1.consul SRV
  dig @127.0.0.1 -p 8600 demo.node.consul
  curl http://127.0.0.1:8500/v1/health/service/web?pretty
  $binary catalog services -tags
Make one instance fail and ask again, then heal it:
  curl -X PUT http://127.0.0.1:8500/v1/agent/check/fail/service:web-2
  curl -X PUT http://127.0.0.1:8500/v1/agent/check/pass/service:web-2
Ctrl-C ends it.
TEXT
# wait returns early when a trapped signal comes: wait on until the agent is gone.
while kill -0 "$agent" 2>/dev/null; do wait "$agent" || true; done
