# Sourced by bench-dns.sh, which has started the echo: one server beside NSD.

mkdir "$dir/data"
"$binary" agent -server -bootstrap-expect=1 -data-dir="$dir/data" -bind=127.0.0.1 -client=127.0.0.1 -dns-port=$dns -http-port=$http \
	-server-port=$rpc -serf-lan-port=$serf -serf-wan-port=-1 -node=bench -log-level=warn >"$dir/agent.log" 2>&1 &
pids+=($!); ours=$!
for _ in $(seq 100); do curl -fs "http://127.0.0.1:$http/v1/status/leader" | grep -q : && break; sleep 0.2; done
"$dir/fill" -http "127.0.0.1:$http" -fixed

# The same answers in a zone. For SRV records NSD is let off the addresses of the
# targets (minimal-responses): its reply is the smaller one.
{
	echo '$ORIGIN consul.'
	echo '$TTL 0'
	echo '@ SOA ns hostmaster 1 3600 600 86400 0'
	echo '@ NS ns'
	echo 'ns A 127.0.0.1'
	for i in 1 2 3; do
		echo "web.service A 10.0.0.$i"
		echo "web.service SRV 1 1 8080 n$i.node.dc1"
		echo "n$i.node.dc1 A 10.0.0.$i"
	done
	for i in $(seq 0 499); do echo "many.service A 10.1.$((i / 250)).$((i % 250))"; done
	for ((i = 0; i < names; i++)); do
		printf 's%d.service A 10.0.0.1\ns%d.service A 10.0.0.2\ns%d.service A 10.0.0.3\n' $i $i $i
	done
} >"$dir/zone"
cat >"$dir/nsd.conf" <<CONF
server:
  ip-address: 127.0.0.1@$nsd
  server-count: 1
  username: ""
  zonesdir: "$dir"
  pidfile: "$dir/nsd.pid"
  xfrdfile: "$dir/xfrd"
  zonelistfile: "$dir/zonelist"
  database: ""
  logfile: "$dir/nsd.log"
  rrl-ratelimit: 0
  minimal-responses: yes
remote-control:
  control-enable: no
zone:
  name: consul.
  zonefile: zone
CONF
nsdpids=()
if command -v nsd >/dev/null; then
	nsd -d -c "$dir/nsd.conf" >"$dir/nsd.out" 2>&1 &
	pids+=($!); nsdmain=$!
	tree() { echo "$1"; for c in $(pgrep -P "$1" || true); do tree "$c"; done; }
	for _ in $(seq 100); do
		"$dir/gen" $nsd 0.1 1 web.service.consul 0 $nsdmain 2>/dev/null | grep -q 'records' && break
		sleep 0.2
	done
	mapfile -t nsdpids < <(tree $nsdmain)
else
	echo "NSD is not there (apt-get install nsd): its rows are left out" >&2
fi

compare() { # what, type, name, count
	row "$1: echo" $echo "$2" "$3" "$4" $echopid
	[ ${#nsdpids[@]} = 0 ] || row "$1: NSD" $nsd "$2" "$3" "$4" "${nsdpids[@]}"
	row "$1: consul" $dns "$2" "$3" "$4" $ours
}

for ((r = 1; r <= rounds; r++)); do
	echo "round $r"
	compare "A, 3 records" 1 web.service.consul 0
	compare "SRV, 3 + 3 records" 33 web.service.consul 0
	compare "NXDOMAIN" 1 nosuch.service.consul 0
	compare "A, a name of 500" 1 many.service.consul 0
	compare "SRV, a name of 500" 33 many.service.consul 0
done
medians 1 "us of CPU a query"
[ "$names" = 0 ] && return 0

echo "filling $names names"
"$dir/fill" -http "127.0.0.1:$http" -names "$names"
# An answer is packed when somebody has asked: what is measured is every ask but the first.
"$dir/gen" $dns 30 1 s%d.service.consul "$names" $ours >/dev/null
for ((r = 1; r <= rounds; r++)); do
	echo "round $r"
	compare "$names names, A" 1 s%d.service.consul "$names"
	"$dir/fill" -http "127.0.0.1:$http" -names "$names" -changes 1000 -for $((3 * seconds + 4))s & pids+=($!); fill=$!
	sleep 1
	compare "the same, 1,000 changes/s" 1 s%d.service.consul "$names"
	cpu() { awk '{print ($14 + $15) / '"$(getconf CLK_TCK)"'}' "/proc/$ours/stat"; }
	a=$(cpu); sleep 2; b=$(cpu)
	echo "the changes alone take $(awk "BEGIN{printf \"%.0f%%\", ($b - $a) / 2 * 100}") of a CPU"
	wait $fill || true
done
medians 1 "us of CPU a query"
