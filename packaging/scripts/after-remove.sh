#!/bin/sh
# Runs after a removal. The data and their owner stay, also when the package is
# purged: what a datacenter knows is not a package's to throw away.
set -e
case "$1" in
remove | purge | 0)
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload
	fi
	if [ "$1" != remove ] && [ -d /var/lib/consul ]; then
		echo "consul is removed; its data are still in /var/lib/consul (user consul)"
	fi
	;;
esac
