#!/bin/sh
# Runs make's targets and says at the end how long each took, as a row of the table in CONTRIBUTING.md.
#
#	timed.sh STAGE…      a stage is lanes between slashes, a lane is targets: "deps" "19 lint / timed unit+client"
#
# Stages follow one another. The lanes of a stage run side by side. A lane that begins with a number has that priority
# (renice), for what computes beside tests that often wait. In a lane one target follows the other, but those with a
# plus between them run side by side. A target's output comes in one piece when it ends. After a failure nothing new
# begins.
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'trap "" TERM; kill 0; exit 130' INT TERM # what runs in the background does not hear of Ctrl-C
now() { date +%s; }
: >"$dir/times"

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

lane() {
	for together in $1; do
		case $together in
		[0-9]*)
			renice -n "$together" -p "$(sh -c 'echo $PPID')" >/dev/null 2>&1
			continue
			;;
		esac
		pids=""
		for t in $(echo "$together" | tr + ' '); do
			target "$t" &
			pids="$pids $!"
		done
		wait $pids
	done
}

start=$(now)
for stage in "$@"; do
	rest=$stage
	while [ "${rest#*/}" != "$rest" ]; do
		first=${rest%%/*}
		rest=${rest#*/}
		(lane "$first") &
	done
	lane "$rest"
	wait
	[ ! -e "$dir/failed" ] || break
done
total=$(($(now) - start))

targets=$(echo "$@" | tr '/+' '\n\n' | tr ' ' '\n' | grep -v '^[0-9]*$')
# A target without a time did not end: its shell was killed. After a failure some have not even begun.
if [ ! -e "$dir/failed" ]; then
	for t in $targets; do
		grep -q "^$t " "$dir/times" || echo "$t (it did not end)" >>"$dir/failed"
	done
fi

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)
tier=$(${GO:-go} run ./cmd/mixtral doctor --json 2>/dev/null |
	sed -n 's/.*"kernels for \([a-z0-9-]*\).*/\1/p' | head -1)
[ -n "$tier" ] || { echo "timed.sh: mixtral doctor names no tier" >&2; echo doctor >>"$dir/failed"; }
echo
echo "| machine | tier | $(for t in $targets; do printf '%s | ' "$t"; done)all |"
printf '| %s, %s cores | %s |' "${cpu:-$(uname -m)}" "$(getconf _NPROCESSORS_ONLN)" "${tier:--}"
for t in $targets; do
	awk -v t="$t" '$1 == t { printf " %.1f |", $2 / 60; found = 1 } END { if (!found) printf " - |" }' "$dir/times"
done
awk -v s="$total" 'BEGIN { printf " %.1f |\n", s / 60 }'
if [ -e "$dir/failed" ]; then
	echo "make test: FAILED: $(tr '\n' ' ' <"$dir/failed")" >&2
	exit 1
fi
echo "make test: passed"
