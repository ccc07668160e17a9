#!/bin/sh
# Looks for known vulnerabilities in the code that a module's packages call, the standard library's included: that of
# the Go that releases are built with.
#
#	vuln.sh [-C FOLDER] [PACKAGE…]
#
# First against the copy of Go's vulnerability database that tools/vulndb pins by version and hash: this needs no
# network but that of modules, from which the releases' Go comes too. Without that Go nothing is checked: this is said
# aloud, and under CI it is an error. Then against the newest database, https://vuln.go.dev or $GOVULNDB, which may be
# file:///path. Where it cannot be reached that is said aloud, under CI too, because CI may have no way to it; it tells
# only what became known since the copy was pinned. VULN=required makes both an error. A vulnerability is always one.
set -eu
folder=$PWD
if [ "${1:-}" = -C ]; then
	folder=$(cd "$2" && pwd)
	shift 2
fi
[ $# -gt 0 ] || set -- ./...
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# govulncheck is built by the releases' Go: an older one does not understand the standard library that it looks at.
GOTOOLCHAIN=$(sh scripts/release-go.sh)
export GOTOOLCHAIN
if ! go version >/dev/null 2>&1; then
	echo "vuln: $GOTOOLCHAIN, which releases are built with, cannot be downloaded: NOT CHECKED" >&2
	[ "${VULN:-}" != required ] && [ -z "${CI:-}" ] || exit 1
	exit 0
fi
(cd tools/vulndb && GOFLAGS= go run . "$dir/db") >"$dir/log" || {
	echo "vuln: there is no copy of the database" >&2
	exit 1
}
sed 's/^/vuln: /' "$dir/log"
export GOFLAGS= # the caller's must not change what is found
go build -modfile=tools/go.mod -o "$dir/govulncheck" golang.org/x/vuln/cmd/govulncheck
cd "$folder"
echo "vuln: $(go version | cut -d ' ' -f 3) and the packages $*"
"$dir/govulncheck" -db "file://$dir/db" "$@"

# What is wrong now is so with this database: the packages are those of before.
newest=${GOVULNDB:-https://vuln.go.dev}
code=0
out=$("$dir/govulncheck" -db "$newest" "$@" 2>&1) || code=$?
case $code in
0) echo "vuln: nothing in $newest either" ;;
3) # vulnerabilities
	echo "$out"
	exit 3
	;;
*)
	echo "vuln: $newest: $out" >&2
	echo "vuln: $newest cannot be read: CHECKED AGAINST THE PINNED COPY ONLY" >&2
	[ "${VULN:-}" != required ] || exit 1
	;;
esac
