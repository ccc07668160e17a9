#!/bin/sh
# Builds a release of what is committed into a folder: a binary for each platform, its bill of materials (CycloneDX),
# verify.html, which verifies reports in a browser, and SHA256SUMS over all of them. The bytes depend on the commit and
# the version of Go alone; `make reproduce` proves it. The version is the commit's tag.
set -eu
out=${1:-dist}
[ -z "$(git status --porcelain)" ] || { echo "release: there are uncommitted changes" >&2; exit 1; }
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
# Nothing of the environment may change the bytes.
GOTOOLCHAIN=$(sh scripts/release-go.sh)
export GOTOOLCHAIN CGO_ENABLED=0 GOFLAGS= GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0
for platform in ${PLATFORMS:-linux/amd64 linux/arm64 darwin/arm64}; do
	os=${platform%/*} arch=${platform#*/}
	echo "release: $os/$arch"
	GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=true -ldflags='-s -w' -o "$out/mixtral-$os-$arch" ./cmd/mixtral
done
echo "release: verify.html"
version=$(go version -m "$out"/mixtral-* | awk '$1 == "mod" { print $3; exit }')
go run ./cmd/verify-page -o "$out/verify.html" -version "$version"
(cd tools && go run ./sbom "$out"/mixtral-*)
cd "$out"
sha256sum mixtral-* verify.html >SHA256SUMS
cat SHA256SUMS
