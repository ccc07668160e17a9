#!/bin/sh
# Builds a release of what is committed into a folder: a binary for each platform, its bill of materials (CycloneDX), and
# SHA256SUMS over both. The bytes depend on the commit and the version of Go alone; `make reproduce` proves it. The version is
# the commit's tag.
set -eu
out=${1:-dist}
[ -z "$(git status --porcelain)" ] || { echo "release: there are uncommitted changes" >&2; exit 1; }
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
# Nothing of the environment may change the bytes.
export CGO_ENABLED=0 GOFLAGS= GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0
for platform in ${PLATFORMS:-linux/amd64 linux/arm64 darwin/arm64}; do
	os=${platform%/*} arch=${platform#*/}
	echo "release: $os/$arch"
	GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=true -ldflags='-s -w' -o "$out/mixtral-$os-$arch" ./cmd/mixtral
done
(cd tools && go run ./sbom "$out"/mixtral-*)
cd "$out"
sha256sum mixtral-* >SHA256SUMS
cat SHA256SUMS
