#!/usr/bin/env bash
# Opens the web pages in headless Chromium against two real datacenters. Installs
# Chromium and its driver where it may (root, Debian); without them the tests are
# skipped and say so. Screenshots are left in build/ui.
set -euo pipefail

cd "$(dirname "$0")/../internal/interop/ui"
missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
		echo "interop-ui: could not install ${missing[*]}" >&2
fi
${GO:-go} test -count=1 -v ./... | grep -v '^=== '
