#!/bin/sh
# Kills everything that this repository has at $KILLS random moments each, and prints the table of docs/SECURITY.md.
# With $KILLS_RUN only the tests whose names match.
set -eu
go=${GO:-go}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export MIXTRAL_SEARCH=1s MIXTRAL_KILLS="${KILLS:-50}" MIXTRAL_KILLS_TABLE="$dir/table"
failed=0
killed() { # killed FLAG…: of go test
	"$go" test -v -count 1 -timeout 0 "$@" >"$dir/log" 2>&1 || failed=1
	grep -v -e '^=== ' "$dir/log" >&2
}
others='TestFilesAreCut|TestFullDisk|TestNoHome|TestReadOnlyHome|TestFewFiles|TestTwoProcesses|TestLimitsOf'
killed ./cmd/mixtral -run "${KILLS_RUN:-TestKill|$others}"
killed ./internal/certify/loadgen -run "${KILLS_RUN:-TestSetClock}"
killed ./internal/base/store/postgres -run "${KILLS_RUN:-TestKilledDatabase|TestTheLogOutlives}"
echo
echo "| what is killed or cut | times | of them at work | found afterwards |"
echo "|---|---|---|---|"
cat "$dir/table"
exit $failed
