#!/bin/sh
# Runs every fuzz target of the module for $FUZZTIME each, one after the other.
set -eu
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | grep -v '^./test/' | sort | while read -r file; do
	dir=$(dirname "$file")
	grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/func //' | while read -r target; do
		echo "fuzz $dir $target"
		out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5s}" "$dir" 2>&1) || { echo "$out"; exit 1; }
	done
done
