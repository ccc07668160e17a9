#!/bin/sh
# Prints the Go that releases are built with, as GOTOOLCHAIN takes it: go.mod's toolchain line. $RELEASE_GO is another,
# such as "local", which is the go command's own.
set -eu
cd "$(dirname "$0")/.."
go=${RELEASE_GO:-$(sed -n 's/^toolchain //p' go.mod)}
[ -n "$go" ] || { echo "release-go: go.mod has no toolchain line" >&2; exit 1; }
echo "$go"
