#!/bin/sh
# Installs what the tests use beyond Go, from Debian's packages: as root, or anywhere under CI. Elsewhere it says what
# is missing, and the tests that need it skip themselves. Under CI a missing part is an error, never a skip.
set -eu
missing=""
need() { # need COMMAND PACKAGE WHAT-FOR
	command -v "$1" >/dev/null 2>&1 && return 0
	missing="$missing $2"
	echo "deps: $1 is missing ($2): $3"
}
need cc gcc "race detector"
need pg_ctlcluster postgresql "the store on PostgreSQL"
need promtool prometheus "the alert rules, and reading metrics through Prometheus"
need chromium chromium "looking at the HTML report"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >/dev/null 2>&1 || true
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends $missing libc6-dev >/dev/null || { [ -z "${CI:-}" ] || exit 1; }
elif [ -n "${CI:-}" ]; then
	echo "deps: cannot install$missing without root" >&2
	exit 1
else
	echo "deps: not root, going on without:$missing"
fi
