# Sourced by bench-dns.sh, which has started the echo: what names cost at a client
# agent and of another datacenter, over TCP, and what a flood does to the rest of a
# server.

# Three servers and a client of dc1, one server of dc2.
for i in 1 2 3; do
	launch s$i $i -server -bootstrap-expect=3 -retry-join=$net.1 -retry-join-wan=$net.5
done
launch c1 4 -retry-join=$net.1
launch r1 5 -server -bootstrap-expect=1 -datacenter=dc2
whole() { [ "$(api 4 catalog/nodes 2>/dev/null | grep -o '"Node":' | wc -l)" = 4 ] && api 4 'catalog/nodes?dc=dc2' 2>/dev/null | grep -q r1; }
until_true 60 whole
for i in 1 5; do "$dir/fill" -http "$net.$i:8500" -fixed; done

for ((r = 1; r <= rounds; r++)); do
	echo "round $r: servers, a client, two datacenters"
	row "A, 3 records: echo" $echo 1 web.service.consul 0 "$echopid"
	at "the same at a server" 1 "$seconds" "" 1 web.service.consul 0 "${pid[s1]}"
	at "the same at a client" 4 "$seconds" "" 1 web.service.consul 0 "${pid[c1]}"
	at "SRV at a client" 4 "$seconds" "" 33 web.service.consul 0 "${pid[c1]}"
	at "A of the other datacenter, server" 1 "$seconds" "" 1 web.service.dc2.consul 0 "${pid[s1]}"
	at "A of the other datacenter, client" 4 "$seconds" "" 1 web.service.dc2.consul 0 "${pid[c1]}"
	at "A over TCP, 8 x 32 pipelined" 1 "$seconds" -t 1 web.service.consul 0 "${pid[s1]}"
done

medians 1 "us of CPU a query"

# A flood at each agent in turn: nobody loses the leader, and nobody waits for long.
metric() { api "$1" 'agent/metrics?format=prometheus' | awk -v n="consul_runtime_sched_wait_$2_ns" '$1 == n { printf "%.0f", $2 / 1000 }'; }
term() { api "$1" agent/self | grep -o '"term":"[0-9]*"' | head -1; }
for h in 1 2 3 4; do
	before=$(term 1) leader=$(api 1 status/leader)
	metric "$h" median >/dev/null # it counts from the last look on
	at "flood of $net.$h" "$h" 10 "" 1 web.service.consul 0 "$([ "$h" = 4 ] && echo "${pid[c1]}" || echo "${pid[s$h]}")" & pids+=($!); flood=$!
	sleep 1
	writes=$(for _ in $(seq 40); do curl -fsS -o /dev/null -w '%{time_total}\n' -X PUT -d x "http://$net.$h:8500/v1/kv/bench"; done | sort -n)
	sleep 1
	looked=$(api "$h" 'agent/metrics?format=prometheus' | awk '/^consul_runtime_sched_wait_/ { printf "%s %.0f us  ", ($1 ~ /median/ ? "median" : "p99"), $2 / 1000 }')
	wait $flood || true
	echo "  goroutines waited: $looked| key writes: median $(sed -n 20p <<<"$writes") s, worst $(tail -1 <<<"$writes") s | leader $leader at term ${before//[!0-9]/}, then $(api 1 status/leader) at $(term 1 | tr -cd 0-9); members alive: $(api 1 'agent/members' | grep -o '"Status":1' | wc -l)"
done
