#!/bin/sh
# Runs before a removal (deb: remove; rpm: 0) and before an upgrade, during which
# the agent goes on.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl --no-reload disable --now consul.service || true # it may never have been enabled
	fi
	;;
esac
