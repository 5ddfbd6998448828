#!/bin/bash
# install-config.sh FROM TO: installs a configuration file where there is none;
# one that is there stays, and a differing new version goes beside it.
set -euo pipefail
if [ ! -e "$2" ]; then
	install -m 0640 "$1" "$2"
	rm -f "$2.new"
elif cmp -s "$1" "$2"; then
	rm -f "$2.new"
else
	install -m 0640 "$1" "$2.new"
	echo "$2 was changed and stays as it is; the new version is $2.new"
fi
