#!/bin/bash
# test-packages.sh BINARY BUILD: installs the package into a fresh Debian made by
# debootstrap, runs the service there, upgrades, removes and purges. Root only. The
# root is kept as BUILD/debian.tar for the next time; RPMs are looked into if rpm
# is there.
set -euo pipefail
binary=$(realpath "$1") build=$(realpath "$2") go=${GO:-go}
scripts=$(realpath "$(dirname "$0")")
[ "$(id -u)" = 0 ] || { echo "root is needed: a package manager runs in a root of its own" >&2; exit 1; }
if ! command -v debootstrap >/dev/null || ! command -v systemd-nspawn >/dev/null; then
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap systemd-container
fi
if [ ! -e "$build/debian.tar" ]; then
	rm -rf "$build/debian"
	debootstrap --variant=minbase --include=systemd,procps,bind9-dnsutils bookworm "$build/debian"
	tar -C "$build/debian" --one-file-system -cf "$build/debian.tar.new" .
	mv "$build/debian.tar.new" "$build/debian.tar"
fi
work=$(mktemp -d "$build/test-packages.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
mkdir "$work/root" "$work/boot" "$work/1" "$work/2"
tar -C "$work/root" -xf "$build/debian.tar"
tar -C "$work/boot" -xf "$build/debian.tar"
VERSION=1.21.0~test1 "$scripts/packages.sh" "$binary" "$work/1"
VERSION=1.21.0~test2 "$scripts/packages.sh" "$binary" "$work/2"
if command -v rpm >/dev/null; then
	rpm -qpl "$work"/1/packages/*.rpm >"$work/rpm.txt"
	for path in /usr/bin/consul /usr/lib/systemd/system/consul.service /usr/lib/sysusers.d/consul.conf /etc/consul.d/agent.hcl \
		/usr/share/man/man1/consul-doctor.1.gz /usr/share/zsh/site-functions/_consul; do
		grep -qx "$path" "$work/rpm.txt" || { echo "the rpm lacks $path" >&2; exit 1; }
	done
	[ "$(rpm -qpc "$work"/1/packages/*.rpm)" = /etc/consul.d/agent.hcl ] || { echo "the rpm does not keep a changed configuration" >&2; exit 1; }
	echo "rpm: layout as it should be"
else
	echo "NOT TESTED: the rpm, since there is no rpm command"
fi
# A network of its own, so that ports of this machine do not matter.
cd "$scripts/../packaging"
"$go" test -c -o "$work/packages.test" .
unshare --net --mount --fork bash -c 'ip link set lo up
mount -t proc proc "$1/proc" && exec "$2" -test.v -root="$1" -boot="$3/boot" -deb="$(echo "$3"/1/packages/*.deb)" -newer="$(echo "$3"/2/packages/*.deb)"' \
	- "$work/root" "$work/packages.test" "$work"
