#!/bin/sh
# Runs every fuzz target of the module for $FUZZTIME each, one after the other. Inputs are hardly minimised: by default a
# minute goes into each, which is all of a short run.
set -eu
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | grep -v '^./test/' | sort | while read -r file; do
	dir=$(dirname "$file")
	grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/func //' | while read -r target; do
		echo "fuzz $dir $target"
		out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5s}" -fuzzminimizetime 10x "$dir" 2>&1) || { echo "$out"; exit 1; }
	done
done
