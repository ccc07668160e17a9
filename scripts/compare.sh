#!/bin/sh
# Compares the engine with llama.cpp on the same files. Needs Node 20 or later; under CI its absence is an error.
set -eu
if ! command -v node >/dev/null 2>&1; then
	echo "compare: node is missing: skipped"
	[ -z "${CI:-}" ] || exit 1
	exit 0
fi
cd test/compare
# not `npm ci`: it wants builds for other platforms in the lock file, which --omit=optional never installs
npm install --no-save --no-audit --no-fund --omit=optional --ignore-scripts
cd ..
MIXTRAL_COMPARE=1 go test ./compare/... -count=1 -v -timeout 1h # beside much else it takes long
