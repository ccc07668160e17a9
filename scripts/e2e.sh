#!/bin/sh
# Certifies the built-in model with the real binary, as a user would, and checks what comes out: the verdict's exit code
# is one of PASS, FAIL and INVALID, the report exists, and `report verify` derives the same verdict from the events.
set -eu
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
code=0
"$bin" certify --profile quick --seed 1 --report-dir "$dir" >"$dir/stdout" 2>"$dir/stderr" || code=$?
cat "$dir/stdout"
case $code in
0 | 1 | 4) ;;
*)
	cat "$dir/stderr"
	echo "e2e: certify ended with exit code $code" >&2
	exit 1
	;;
esac
report=$(ls "$dir"/performance_TC-L1-COMP-MIXTRAL-003_*.json)
grep -q '"avg_latency_ms"' "$report"
"$bin" report verify "$report"
