#!/bin/sh
# packages.sh without PATTERN…: the module's packages but those. A pattern that names none is an error, so that a
# package which moved is not tested twice, or never, without a word.
set -eu
shift
all=$(go list ./...)
left=$all
for pattern in "$@"; do
	named=$(go list "$pattern")
	[ -n "$named" ] || { echo "packages: $pattern names no package" >&2; exit 1; }
	left=$(printf '%s\n' "$left" | grep -vxF "$named")
done
[ -n "$left" ] || { echo "packages: none is left" >&2; exit 1; }
printf '%s\n' "$left"
