#!/bin/sh
# Installs what the tests use beyond Go, from Debian's packages: as root, or anywhere under CI. Elsewhere it says what
# is missing, and the tests that need it skip themselves. Under CI a missing part is an error, never a skip.
set -eu
look() {
	missing=""
	need cc gcc "race detector"
	need bash bash "completion of commands"
	need pg_ctlcluster postgresql "the store on PostgreSQL"
	need promtool prometheus "the alert rules, and reading metrics through Prometheus"
	need chromium chromium "looking at the HTML report"
	need qemu-aarch64 qemu-user "the kernels of arm64"
	need aarch64-linux-gnu-as binutils-aarch64-linux-gnu "how arm64's instructions are encoded"
	need openssl openssl "signatures"
	need ssh-keygen openssh-client "signatures"
	need skopeo skopeo "the container image, in make reproduce"
	need systemd-analyze systemd "the unit file"
	need ip iproute2 "generators in network namespaces"
	need unshare util-linux "generators whose clocks differ"
	need node nodejs "other people's clients in JavaScript"
	need npm npm "their packages"
}
need() { # need COMMAND PACKAGE WHAT-FOR
	command -v "$1" >/dev/null 2>&1 && return 0
	missing="$missing $2"
	echo "deps: $1 is missing ($2): $3"
}
look
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	export DEBIAN_FRONTEND=noninteractive
	# What is installed counts, not how it went: an index that is not new may still have everything.
	apt-get update -qq >/dev/null || echo "deps: the package index could not be brought up to date" >&2
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends $missing libc6-dev >/dev/null || echo "deps: apt-get failed" >&2
	look
	[ -z "$missing" ] && exit 0
fi
if [ -n "${CI:-}" ]; then
	echo "deps: could not install$missing" >&2
	exit 1
fi
echo "deps: going on without:$missing"
