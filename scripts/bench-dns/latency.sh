# Sourced by bench-dns.sh, which has started the echo: how long answers take at a fixed
# rate while the catalog changes, at a server and at a client.

few=2000
launch a1 11 -server -bootstrap-expect=1
launch a2 12 -retry-join=$net.11
joined() { [ "$(api 12 catalog/nodes 2>/dev/null | grep -o '"Node":' | wc -l)" = 2 ]; }
until_true 60 joined
"$dir/fill" -http "$net.11:8500" -fixed
"$dir/fill" -http "$net.11:8500" -names $few
for h in 11 12; do at "warming up" $h 4 "-r 5000" 1 s%d.service.consul $few "${pid[a1]}" >/dev/null; done
: >"$dir/rows"
for r in 1 2 3 4 5; do
	echo "run $r: 20,000 queries a second, 1,000 changes a second"
	"$dir/fill" -http "$net.11:8500" -names $few -changes 1000 -for $((3 * seconds + 3))s & pids+=($!); fill=$!
	shown echo "$dir/gen" -r 20000 $echo "$seconds" 1 web.service.consul 0 "$echopid"
	at "at a server" 11 "$seconds" "-r 20000" 1 s%d.service.consul $few "${pid[a1]}"
	at "at a client" 12 "$seconds" "-r 20000" 1 s%d.service.consul $few "${pid[a2]}"
	wait $fill || true
done

medians 6 "p99 in us"
for h in 11 12; do kill "${pid[a$((h - 10))]}"; done
