#!/bin/bash
# bench-compare.sh REF: runs the benchmarks at REF and in the working tree and
# compares them with benchstat.
set -euo pipefail
go=${GO:-go}
out=$PWD/build/bench-compare
tree=$out/tree
mkdir -p "$out"
git worktree prune
git worktree add --force --detach "$tree" "$1" >/dev/null
trap 'git worktree remove --force "$tree"' EXIT
bench() { "$go" test -run '^$' -bench "$BENCH" -benchmem -benchtime "$BENCHTIME" -count "$BENCHCOUNT" ./...; }
(cd "$tree" && bench) >"$out/old.txt"
bench >"$out/new.txt"
"$go" tool benchstat "$out/old.txt" "$out/new.txt"
