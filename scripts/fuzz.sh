#!/bin/sh
# Searches new cases for $FUZZTIME each: first with every property test of the module, then with every fuzz target, to
# the end of the list. What fails is shown and named again at the end. Found inputs lie in the package's testdata/rapid
# and testdata/fuzz: give them a name and commit them with the repair, and every later test runs them. Inputs are
# hardly minimised: by default a minute goes into each, which is all of a short run.
set -u
time=${FUZZTIME:-5s}
failed=""

# The packages whose tests call package property, by themselves or through the suite of the seam. Their other tests run
# too: no list of names can become out of date.
packages=$(go list -f '{{$p := .}}{{range .TestImports}}{{$p.ImportPath}} {{.}}
{{end}}{{range .XTestImports}}{{$p.ImportPath}} {{.}}
{{end}}' ./... | grep -E ' .*/internal/(base/property|llm/llmtest)$' | cut -d' ' -f1 | sort -u)
[ -n "$packages" ] || { echo "fuzz: there are no property tests" >&2; exit 1; }
for package in $packages; do
	echo "search $package"
	MIXTRAL_SEARCH=$time go test -count 1 -timeout 0 "$package" || failed="$failed $package"
done

targets=0
for file in $(grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | grep -v '^./test/' | sort); do
	dir=$(dirname "$file")
	for target in $(grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/func //'); do
		targets=$((targets + 1))
		echo "fuzz $dir $target"
		out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "$dir" 2>&1) && continue
		case $out in
		# The go command's own end of time, while it still minimises an input that is interesting and no failure. A
		# failure may name an expired deadline, too: of an input, or of a committed one, which fails within its target.
		*"Failing input"* | *"panic:"* | *"    --- FAIL"*) ;;
		*"context deadline exceeded"*) continue ;;
		esac
		echo "$out"
		failed="$failed $dir:$target"
	done
done
[ "$targets" -gt 0 ] || { echo "fuzz: there are no fuzz targets" >&2; exit 1; }
[ -z "$failed" ] || { echo "fuzz: failed:$failed" >&2; exit 1; }
