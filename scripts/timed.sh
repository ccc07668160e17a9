#!/bin/sh
# Runs make's targets and says at the end how long each took, as a row of the table in CONTRIBUTING.md.
#
#	timed.sh STAGE…      a stage is lanes between slashes, a lane is targets: "deps" "lint / unit race"
#
# Stages follow one another. The lanes of a stage run side by side, the first ones with the lowest priority: they only
# compute, while the tests of the last one often wait. A target's output comes in one piece when it ends. After a
# failure nothing new begins.
set -u
dir=$(mktemp -d)
pids=""
stop() {
	for pid in $pids; do kill "$pid" 2>/dev/null; done
	rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM
now() { date +%s; }

target() { # target NAME
	[ ! -e "$dir/failed" ] || return 0
	begin=$(now)
	code=0
	"${MAKE:-make}" --no-print-directory "$1" >"$dir/$1.log" 2>&1 || code=$?
	seconds=$(($(now) - begin))
	echo "$1 $seconds" >>"$dir/times"
	[ "$code" = 0 ] || echo "$1" >>"$dir/failed"
	echo "=== $1: $([ "$code" = 0 ] && echo passed || echo "FAILED ($code)"), $seconds s
$(cat "$dir/$1.log")"
}

lane() { for t in $1; do target "$t"; done; }

start=$(now)
for stage in "$@"; do
	rest=$stage
	while [ "${rest#*/}" != "$rest" ]; do
		first=${rest%%/*}
		rest=${rest#*/}
		(renice -n 19 -p "$(sh -c 'echo $PPID')" >/dev/null 2>&1; lane "$first") &
		pids="$pids $!"
	done
	lane "$rest"
	wait
	pids=""
	[ ! -e "$dir/failed" ] || break
done
total=$(($(now) - start))

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)
tier=$(go run ./cmd/mixtral doctor --json 2>/dev/null | sed -n 's/.*"kernels for \([a-z0-9]*\).*/\1/p' | head -1)
[ -n "$tier" ] || { echo "timed.sh: mixtral doctor names no tier" >&2; echo doctor >>"$dir/failed"; }
echo
echo "| machine | tier | $(for stage in "$@"; do for t in $stage; do [ "$t" = / ] || printf '%s | ' "$t"; done; done)all |"
printf '| %s, %s cores | %s |' "${cpu:-$(uname -m)}" "$(getconf _NPROCESSORS_ONLN)" "${tier:--}"
for stage in "$@"; do
	for t in $stage; do
		[ "$t" = / ] || awk -v t="$t" '$1 == t { printf " %.1f |", $2 / 60; found = 1 } END { if (!found) printf " - |" }' "$dir/times"
	done
done
awk -v s="$total" 'BEGIN { printf " %.1f |\n", s / 60 }'
if [ -e "$dir/failed" ]; then
	echo "make test: FAILED: $(tr '\n' ' ' <"$dir/failed")" >&2
	exit 1
fi
echo "make test: passed"
