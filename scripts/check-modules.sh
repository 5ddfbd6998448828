#!/bin/bash
# check-modules.sh: no package may be linked that the project has ruled out.
set -euo pipefail
go=${GO:-go}
# Old msgpack codecs: they decode hostile bytes without bounds.
denied='^github.com/hashicorp/go-msgpack(/codec)?$|^github.com/hashicorp/go-msgpack/v1(/|$)|^github.com/boltdb/bolt(/|$)|^C$|^runtime/cgo$'
found=$(CGO_ENABLED=0 "$go" list -deps ./cmd/consul | grep -E "$denied" || true)
if [ -n "$found" ]; then
	echo "the binary links packages that it must not:" >&2
	echo "$found" >&2
	exit 1
fi
# These must do their job as direct requirements.
for m in github.com/miekg/dns github.com/hashicorp/raft github.com/hashicorp/hcl/v2 go.uber.org/zap; do
	if ! grep -E "^[[:space:]]*(require )?$m v" go.mod | grep -qv '// indirect'; then
		echo "go.mod does not require $m directly" >&2
		exit 1
	fi
done
echo "modules: nothing linked that is ruled out"
