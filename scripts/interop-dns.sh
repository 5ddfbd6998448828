#!/bin/bash
# Runs the DNS programs that people have against real agents on loopback: what asks,
# what forwards, and what takes the zone. As root on Debian it installs those that are
# missing first, without starting them as services.
#
#   scripts/interop-dns.sh [regular expression of tests]
set -euo pipefail
cd "$(dirname "$0")/../internal/interop/dns"
declare -A package=([dig]=bind9-dnsutils [nslookup]=bind9-dnsutils [host]=bind9-host [drill]=ldnsutils [kdig]=knot-dnsutils [dnsmasq]=dnsmasq-base
	[unbound]=unbound [fstrm_capture]=fstrm-bin [dnstap-ldns]=dnstap-ldns [named]=bind9 [nsd]=nsd [knotd]=knot)
missing=()
for program in "${!package[@]}"; do
	command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then # else what is installed would begin to serve
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		trap 'rm -f '$policy EXIT
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
		echo "not all of ${missing[*]} could be installed; what needs them is skipped" >&2
fi
${GO:-go} test -count=1 -v -run "${1:-.}" ./...
