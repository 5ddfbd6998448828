#!/bin/bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, one after another.
set -euo pipefail
go=${GO:-go}
for dir in $("$go" list -f '{{.Dir}}' ./...); do
	for target in $(grep -hos '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //'); do
		echo "== ${dir#"$PWD"/} $target"
		"$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$dir"
	done
done
