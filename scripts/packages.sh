#!/bin/bash
# packages.sh BINARY BUILD: makes BUILD/packages/*.deb and *.rpm of the binary.
# VERSION and ARCH may be given; else they are the binary's and this machine's.
set -euo pipefail
binary=$(realpath "$1") build=$(realpath "$2") go=${GO:-go}
cd "$(dirname "$0")/../packaging"
if [ -z "${VERSION:-}" ]; then
	# 1.21.0-dev comes before 1.21.0: packagers write that with a tilde.
	VERSION=$("$binary" version | sed -n '1s/^Consul v//p' | sed 's/-/~/')
fi
ARCH=${ARCH:-$("$go" env GOARCH)}
STAGE=$build/stage
export VERSION ARCH STAGE
# One commit gives one package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

rm -rf "$STAGE"
mkdir -p "$STAGE/units" "$build/packages"
install -m 0755 "$binary" "$STAGE/consul"
install -m 0644 ../systemd/consul.service ../systemd/consul@.service "$STAGE/units/"
"$binary" manual "$STAGE/manual"
gzip -9n "$STAGE"/manual/man1/*.1
chmod -R u=rwX,go=rX "$STAGE"
find "$STAGE" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
for kind in deb rpm; do
	"$go" tool nfpm package --config nfpm.yaml --packager "$kind" --target "$build/packages/"
done
rm -rf "$STAGE"
