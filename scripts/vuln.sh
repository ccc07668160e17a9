#!/bin/sh
# Looks for known vulnerabilities in the code that the program calls. $GOVULNDB is another database than Go's own, also as
# file:///path. Where the database cannot be reached nothing was checked, and that is said aloud; VULN=required makes it an
# error, which a release should. A vulnerability is always one.
set -eu
code=0
out=$(go tool -modfile=tools/go.mod govulncheck -db "${GOVULNDB:-https://vuln.go.dev}" "${1:-./...}" 2>&1) || code=$?
echo "$out"
case "$code:$out" in
0:*) ;;
*"fetching vulnerabilities"*)
	echo "vuln: NOT CHECKED: the database cannot be reached" >&2
	[ "${VULN:-}" != required ] || exit 1
	;;
*) exit "$code" ;;
esac
