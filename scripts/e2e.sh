#!/bin/sh
# Certifies the built-in model with the real binary, as a user would, and checks what comes out: the verdict's exit
# code is one of PASS, FAIL and INVALID, the service is right in what does not depend on the machine, every file of the
# report exists, and `report verify` derives the same verdict from the events, but not from events that were changed.
set -eu
bin=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_DATA_HOME="$dir/data" # where the run is kept
die() {
	echo "e2e: $*" >&2
	exit 1
}
code=0
"$bin" certify --profile quick --seed 1 --report-dir "$dir" >"$dir/stdout" 2>"$dir/stderr" || code=$?
cat "$dir/stdout"
case $code in
0) status=PASS ;;
1) status=FAIL ;;
4) status=INVALID ;;
*)
	cat "$dir/stderr"
	die "certify ended with exit code $code"
	;;
esac
report=$(ls "$dir"/performance_TC-L1-COMP-MIXTRAL-003_*.json)
base=${report%.json}
for ext in .html .junit.xml .events.jsonl.gz; do
	[ -s "$base$ext" ] || die "$base$ext is missing"
done
grep -q "\"status\": \"$status\"" "$report" || die "exit code $code, but another status in the report"
grep -q '"avg_latency_ms"' "$report"
grep -q '<testsuites' "$base.junit.xml"
"$bin" report verify "$report"
"$bin" report show "$report" >"$dir/shown"
grep -q "^$status" "$dir/shown" || die "report show says something else"
# The machine decides about times. The other checks say whether the service is right, so none of them may fail.
right='preconditions|valid-responses|errors|metrics|audits|steps|report'
[ "$(grep -cE "^(PASS|FAIL|INVALID) +($right) " "$dir/shown")" = 7 ] || die "not each of $right is among the checks"
if grep -E "^FAIL +($right) " "$dir/shown"; then
	die "the service is wrong"
fi
# No machine is too slow for these.
for check in valid-responses quality report; do
	grep -qE "^PASS +$check " "$dir/shown" || die "the check $check must be PASS on every machine"
done
# The others may be INVALID because of the machine alone, which their reasons say.
machine='other work took the machine|cannot be trusted|it was late itself|was cut short|^[a-z-]*: client: '
sed -n -e 's/.*<testcase name="\([a-z0-9-]*\): .*/\1/p' -e 's/.*<error message="\([^"]*\)" type="INVALID".*/= \1/p' \
	"$base.junit.xml" | awk '/^= / { print id ": " substr($0, 3) } { id = $0 }' >"$dir/invalid"
[ "$(wc -l <"$dir/invalid")" = "$(grep -c "^INVALID  *[a-z]" "$dir/shown")" ] ||
	die "report show and the JUnit file differ in what is INVALID: $(cat "$dir/invalid")"
grep -E "^($right): " "$dir/invalid" >"$dir/unjudged" || true # there is none
sed 's/^/e2e: could not be judged: /' "$dir/unjudged"
if grep -vE "$machine" "$dir/unjudged"; then
	die "a check is INVALID, and not because of the machine"
fi
"$bin" report list "$dir" | grep -q "$status" || die "report list does not show it"
run=$("$bin" report list --json | sed -n 's/.*"run": "\([0-9a-f]*\)".*/\1/p')
"$bin" report show --json "$run" | cmp - "$report" || die "the database has another report"
"$bin" report diff "$run" "$report" >/dev/null || die "a report is worse than itself"
gzip -dc "$base.events.jsonl.gz" >"$dir/events.jsonl"
sed 's/"output_tokens":[0-9]*/"output_tokens":1/' "$dir/events.jsonl" >"$dir/forged.events.jsonl"
if cmp -s "$dir/forged.events.jsonl" "$dir/events.jsonl"; then
	die "no event has output_tokens to change"
fi
gzip "$dir/forged.events.jsonl"
code=0
"$bin" report verify "$report" --events "$dir/forged.events.jsonl.gz" >/dev/null 2>"$dir/refused" || code=$?
# 2 and 3 would say that it could not look
[ "$code" = 1 ] || die "events that were changed: exit code $code, want 1: $(cat "$dir/refused")"
echo "e2e: passed ($status)"
