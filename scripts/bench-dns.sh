#!/usr/bin/env bash
# Prints what a UDP query costs, in microseconds of CPU, of this project's server,
# of NSD with a zone of the same answers, and of an echo in C, which is what the
# kernel costs. Everything runs on loopback, one after the other within each round,
# so that the ratios mean something on a machine that others use too. Changes that
# go on meanwhile are paid by the same process: what they cost alone is printed.
#
#   scripts/bench-dns.sh BINARY     SECONDS_EACH, ROUNDS, NAMES (0 = not the large
#                                   catalog) and PARTS (one, latency, cluster) in the environment
set -euo pipefail

binary=$(readlink -f "$1")
seconds=${SECONDS_EACH:-3} rounds=${ROUNDS:-3} names=${NAMES:-200000} parts=${PARTS:-one latency cluster}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
dns=18600 http=18500 rpc=18300 serf=18301 nsd=18053 echo=18007
pids=()
end() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$dir"
}
trap end EXIT

for tool in gcc curl; do
	command -v "$tool" >/dev/null || { echo "bench-dns needs $tool" >&2; exit 1; }
done
if ! command -v nsd >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	apt-get install -y -qq --no-install-recommends nsd >/dev/null
fi
gcc -O2 -o "$dir/gen" "$here/bench-dns/gen.c"
gcc -O2 -o "$dir/echo" "$here/bench-dns/echo.c"
(cd "$here/.." && ${GO:-go} build -o "$dir/fill" "$here/bench-dns/fill.go")

"$dir/echo" $echo & pids+=($!); echopid=$!

row() { # what, port, type, name, count, pid...
	local what=$1 port=$2
	shift 2
	shown "$what" "$dir/gen" "$port" "$seconds" "$@"
}
shown() { # what, command: its line, which is kept for the medians
	local line
	line=$("${@:2}") || true
	printf '%-34s %s\n' "$1" "$line" | tee -a "$dir/rows"
}
# Rounds differ by more than the servers do on a machine that others use: what counts is
# the median of many short ones.
medians() { # field of the line after what: 1 = CPU in all, or p99
	echo "medians of what begins the same, $2"
	sort "$dir/rows" | awk -v k="$1" '
		{ what = substr($0, 1, 34); split(substr($0, 36), f, " ") }
		f[k] + 0 == f[k] { if (what != last) { show(); last = what; n = 0 } v[n++] = f[k] + 0 }
		function show(   i, j, t) {
			for (i = 1; i < n; i++) for (j = i; j > 0 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
			if (n > 0) printf "%s %8.2f of %d rounds, %.2f to %.2f\n", last, v[int(n / 2)], n, v[0], v[n - 1]
		}
		END { show() }'
	: >"$dir/rows"
}

# Agents of more than one part stand on loopback each at an address of its own, where
# the ports are the usual ones.
net=127.0.53
declare -A pid
launch() { # name, last byte of the address, arguments
	local name=$1 host=$net.$2
	shift 2
	"$binary" agent -node="$name" -data-dir="$dir/$name" -bind="$host" -client="$host" -log-level=warn \
		-hcl 'limits { http_max_conns_per_client = 1000 }' "$@" >"$dir/$name.log" 2>&1 &
	pid[$name]=$!
	pids+=($!)
}
api() { curl -fsS --max-time 10 "http://$net.$1:8500/v1/$2"; }
until_true() { # seconds, command...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || { echo "bench-dns: $* does not come true" >&2; exit 1; }
		sleep 0.3
	done
}
at() { # what, last byte, seconds, options of gen, then type, name, count, process
	local what=$1 host=$2 long=$3
	shift 3
	shown "$what" "$dir/gen" -a "$net.$host" $1 8600 "$long" "$2" "$3" "$4" "$5"
}

if [[ $parts == *one* ]]; then . "$here/bench-dns/one.sh"; fi
if [[ $parts == *latency* ]]; then . "$here/bench-dns/latency.sh"; fi
if [[ $parts == *cluster* ]]; then . "$here/bench-dns/cluster.sh"; fi
