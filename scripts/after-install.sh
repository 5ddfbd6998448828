#!/bin/bash
# after-install.sh: on a live system, create the user and directories and let
# systemd read the units. Starting the service is left to the person.
set -euo pipefail
if command -v systemd-sysusers >/dev/null; then systemd-sysusers consul.conf; fi
if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create consul.conf; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
echo "installed; start it with: systemctl enable --now consul"
