#!/bin/sh
# Runs after an installation (deb: configure, the former version or nothing;
# rpm: 1) and after an upgrade (rpm: 2 and more).
set -e
case "$1" in
configure) if [ -n "$2" ]; then upgrade=1; else upgrade=; fi ;;
[0-9]*) if [ "$1" -gt 1 ]; then upgrade=1; else upgrade=; fi ;;
*) exit 0 ;; # dpkg takes back something that failed
esac

# systemd's tools do it by the files of the package; without them it is done here.
if ! getent passwd consul >/dev/null; then
	if command -v systemd-sysusers >/dev/null; then
		systemd-sysusers /usr/lib/sysusers.d/consul.conf
	else
		useradd --system --user-group --home-dir /var/lib/consul --no-create-home \
			--shell /usr/sbin/nologin --comment "Consul agent" consul
	fi
fi
# Only what is missing is made: what an operator has changed stays.
[ -d /var/lib/consul ] || install -d -m 0700 -o consul -g consul /var/lib/consul
chgrp consul /etc/consul.d
chmod 0750 /etc/consul.d
for file in /etc/consul.d/*.hcl /etc/consul.d/*.json /etc/consul.d/consul.env; do
	if [ -f "$file" ]; then
		chgrp consul "$file"
		chmod 0640 "$file"
	fi
done

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ -n "$upgrade" ]; then
		# A server that restarts says so to the others, and answers DNS from what it
		# has saved. Servers of one datacenter are upgraded one after the other.
		systemctl try-restart consul.service
	fi
fi
if [ -z "$upgrade" ]; then
	echo "consul is installed. Look at /etc/consul.d/agent.hcl, then: systemctl enable --now consul"
fi
