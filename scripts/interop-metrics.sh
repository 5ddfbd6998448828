#!/usr/bin/env bash
# Holds the metrics, the alerts and the catalog against Debian's Prometheus: promtool
# judges, prometheus scrapes and discovers. As root on Debian it installs that first,
# without starting it as a service.
#
#   scripts/interop-metrics.sh [regular expression of tests]
set -euo pipefail
cd "$(dirname "$0")/../internal/interop/metrics"
if ! command -v promtool >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then # else it would begin to serve
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		trap 'rm -f '$policy EXIT
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null ||
		echo "prometheus could not be installed; what needs it is skipped" >&2
fi
${GO:-go} test -count=1 -v -run "${1:-.}" ./...
