#!/bin/bash
# check-binary.sh BINARY MAXSIZE: static, stripped, small enough, and it runs.
set -euo pipefail
size=$(stat -c %s "$1")
if [ "$size" -ge "$2" ]; then
	echo "$1 has $size bytes, at most $2 are allowed" >&2
	exit 1
fi
# The ELF program header of a dynamic loader and the symbol table are looked for
# with Go's own tools, since others may not be installed.
if go tool nm "$1" 2>/dev/null | grep -q .; then
	echo "$1 is not stripped" >&2
	exit 1
fi
if grep -qaE '/lib(64)?/ld-(linux|musl)' "$1"; then
	echo "$1 is not static" >&2
	exit 1
fi
"$1" version >/dev/null
echo "binary: static, stripped, $size bytes"
