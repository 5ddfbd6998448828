#!/bin/bash
# test-cluster.sh [full]: the cluster tests on real processes in network
# namespaces. RUN picks tests, TORTURE is how long TestTorture harms a cluster. Ends with 3, and says why, where this machine cannot do that.
set -uo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
args=(-cluster)
limit=12m
if [ -n "${1:-}" ]; then
	args+=(-full)
	limit=4h
fi
if [ -n "${TORTURE:-}" ]; then
	args+=(-torture "$TORTURE")
	limit=4h
fi
if [ "$(id -u)" != 0 ]; then
	echo "test-cluster: root is needed for network namespaces; nothing was tested" >&2
	exit 3
fi
mkdir -p build
"$go" test -c -o build/lab.test ./internal/lab || exit 1
cd internal/lab && exec ../../build/lab.test -test.v -test.count=1 -test.timeout "$limit" ${RUN:+-test.run "$RUN"} "${args[@]}"
