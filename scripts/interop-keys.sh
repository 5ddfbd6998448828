#!/usr/bin/env bash
# Runs what lives on keys, sessions and locks against the agent: Patroni with
# PostgreSQL, python-consul, the npm package consul, an election as libkv holds
# it. Installs the programs that are missing where it may (root, Debian). A test
# whose program is still missing is skipped and says so.
set -euo pipefail

cd "$(dirname "$0")/../internal/interop/keys"
missing=()
wants() { # PACKAGE, a test that it is there
	if ! "${@:2}" >/dev/null 2>&1; then missing+=("$1"); fi
}
wants patroni command -v patroni
wants postgresql ls /usr/lib/postgresql/*/bin/postgres
wants python3-consul /usr/bin/python3 -c 'import consul'
wants npm command -v npm

if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	# Packages must not start their services here.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 0755 "$policy"
		trap 'rm -f "$policy"' EXIT
	fi
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
		echo "interop-keys: could not install ${missing[*]}" >&2
fi
${GO:-go} test -count=1 -v ./... | grep -v '^=== '
