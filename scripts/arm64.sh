#!/bin/sh
# arm64 on emulated processors (qemu's user mode): nothing that it says about time means anything.
#
#	arm64.sh vet        packages that have files of their own for arm64: lint has vetted all others
#	arm64.sh test       kernel on every tier and moe on two, each on a processor whose best it is
#	arm64.sh certify    the demo model by the whole program, profile quick, on the best tier
set -eu
go=${GO:-go}
export MIXTRAL_EMULATED=1
if [ "$1" = vet ]; then
	all='{{.ImportPath}} {{.GoFiles}} {{.SFiles}} {{.TestGoFiles}} {{.XTestGoFiles}}'
	files() { GOARCH=$1 $go list -f "$all" ./...; }
	here=$(files "$($go env GOARCH)")
	own=$(files arm64 | { grep -vxF "$here" || true; } | cut -d ' ' -f 1)
	[ -n "$own" ] || [ "$($go env GOARCH)" = arm64 ] || { echo "arm64: no package has files for it" >&2; exit 1; }
	[ -z "$own" ] || GOARCH=arm64 $go vet $own # what it compiles the tests below need, too
	exit
fi
if ! command -v qemu-aarch64 >/dev/null 2>&1; then
	echo "arm64: qemu-aarch64 is missing (Debian's package qemu-user): nothing is run" >&2
	[ "$1" = test ] && [ -z "${CI:-}" ] && exit 0 # make test goes on without; who asks for a certification wants one
	exit 1
fi
dir=$(mktemp -d)
mkdir "$dir/made"
export MIXTRAL_MADE="$dir/made"
trap 'wait; rm -rf "$dir"' EXIT
trap 'trap "" TERM; kill 0; exit 130' INT TERM # what runs in the background does not hear of Ctrl-C

# Not run is what a cut file does: qemu does not tell the address of its fault where Go looks for it (qemu-sigbus.c
# shows it), so that it cannot be told from other faults. Linux fills it in.
# processor CPU TIER PACKAGE FLAG…: short tests. TIER is the best of the processor, which therefore has no instruction
# that lower tiers must not use.
processor() {
	cpu=$1 tier=$2 package=$3
	shift 3
	started "$cpu" "$tier" "$package" -test.run '^TestTier$'
	started "$cpu" "$tier" "$package" -test.skip '^(TestCutFiles|TestLaterCut)$' "$@"
	passed=$(grep -c '^--- PASS' "$log") || { echo "arm64: no test of $package ran on $cpu" >&2; exit 1; }
	echo "ok $package on $cpu, up to $tier, $passed tests"
}

started() {
	cpu=$1 tier=$2 package=$3 log=$dir/$3.log
	shift 3
	(cd internal/infer/$package && qemu-aarch64 -cpu "$cpu" "$dir/$package" -test.short -test.v "$@" >"$log" 2>&1) || {
		grep -v -e "^=== " -e "^ *--- PASS" "$log"
		exit 1
	}
	grep '^== tier' "$log" | tail -1 | grep -qx "== tier $tier" || {
		echo "arm64: $package did not run on $tier: this qemu has no such processor" >&2
		exit 1
	}
}

case $1 in
test)
	for package in kernel moe; do
		GOARCH=arm64 $go test -vet=off -c -o "$dir/$package" ./internal/infer/$package
	done
	# The files that moe's tests read are written here: an emulated processor takes half of its time for that.
	$go test -vet=off -short -count 1 ./internal/infer/moe >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
	( # moe's tests beside kernel's: each of both keeps one core busy
		processor cortex-a53 neon moe
		# attention is the same as on cortex-a53
		processor max neon-i8mm moe -test.skip '^(TestCutFiles|TestLaterCut|TestLongContexts)$'
	) &
	processor cortex-a53 neon kernel -tiers=generic,neon
	processor cortex-a76 neon-dotprod kernel -tiers=neon-dotprod
	processor max neon-i8mm kernel -tiers=neon-i8mm
	wait $!
	;;
certify)
	GOARCH=arm64 $go build -o "$dir/program" ./cmd/mixtral
	# In one process: the system here cannot start a program of arm64 by itself. At a rate that an emulator can serve:
	# what is too much for it is refused, which is right and no error of the engine.
	cat >"$dir/mixtral" <<-END
		#!/bin/sh
		if [ "\$1" = certify ]; then
			shift
			set -- certify --in-process --set targets.throughput_rps=1 "\$@"
		fi
		exec qemu-aarch64 -cpu max "$dir/program" "\$@"
	END
	chmod +x "$dir/mixtral"
	sh scripts/e2e.sh "$dir/mixtral"
	;;
*)
	echo "arm64: the first argument must be vet, test or certify, got $1" >&2
	exit 2
	;;
esac
