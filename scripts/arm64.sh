#!/bin/sh
# arm64 on emulated processors (qemu's user mode): nothing that it says about time means anything.
#
#	arm64.sh test       kernel on every tier and moe on the lowest and the highest; each tier's own processor is found
#	arm64.sh certify    the demo model by the whole program, profile quick, on the best tier
set -eu
go=${GO:-go}
export MIXTRAL_EMULATED=1
if ! command -v qemu-aarch64 >/dev/null 2>&1; then
	echo "arm64: qemu-aarch64 is missing (Debian's package qemu-user): nothing is run" >&2
	[ -z "${CI:-}" ] && exit 0
	exit 1
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Not run is what a cut file does: qemu does not tell the address of its fault where Go looks for it (qemu-sigbus.c shows
# it), so that it cannot be told from other faults. Linux fills it in.
# processor CPU TIER PATTERN PACKAGE…: short tests; the best tier is the one that the processor was chosen for.
processor() {
	cpu=$1 tier=$2 pattern=$3
	shift 3
	for package in "$@"; do
		(cd internal/infer/$package && qemu-aarch64 -cpu "$cpu" "$dir/$package" -test.short -test.v -test.skip '^TestCutFiles$' -test.run "$pattern" >"$dir/log" 2>&1) || {
			grep -v -e "^=== " -e "^ *--- PASS" "$dir/log"
			exit 1
		}
		grep '^== tier' "$dir/log" | tail -1 | grep -qx "== tier $tier" || {
			echo "arm64: $package did not run on $tier: this qemu has no such processor" >&2
			exit 1
		}
		echo "ok $package on $cpu, up to $tier, $(grep -c '^--- PASS' "$dir/log") tests"
	done
}

case $1 in
test)
	for package in kernel moe; do
		GOARCH=arm64 $go test -vet=off -c -o "$dir/$package" ./internal/infer/$package
	done
	processor cortex-a53 neon . kernel moe
	processor cortex-a76 neon-dotprod Tier kernel
	processor max neon-i8mm . kernel moe
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
	echo "arm64: test or certify, not $1" >&2
	exit 2
	;;
esac
