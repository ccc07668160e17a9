#!/bin/sh
# Runs every fuzz target of the module for $FUZZTIME each, one after the other, to the end of the list: what fails is shown
# and named again at the end. Found inputs lie in the package's testdata/fuzz: give them a name and commit them with the
# repair. Inputs are hardly minimised: by default a minute goes into each, which is all of a short run.
set -u
failed=""
for file in $(grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | grep -v '^./test/' | sort); do
	dir=$(dirname "$file")
	for target in $(grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/func //'); do
		echo "fuzz $dir $target"
		out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5s}" -fuzzminimizetime 10x "$dir" 2>&1) && continue
		case $out in
		# The go command's own end of time, while it still minimises an input that is interesting and no failure.
		*"Failing input"* | *"panic:"*) ;;
		*"context deadline exceeded"*) continue ;;
		esac
		echo "$out"
		failed="$failed $dir:$target"
	done
done
[ -z "$failed" ] || { echo "fuzz: failed:$failed" >&2; exit 1; }
