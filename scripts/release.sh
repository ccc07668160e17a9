#!/bin/sh
# Builds a release of what is committed into a folder:
#
#	mixtral-OS-ARCH             a binary for each of $PLATFORMS
#	mixtral-OS-ARCH.cdx.json    its bill of materials (CycloneDX)
#	verify.html                 verifies reports in a browser
#	image/, mixtral-image*.tar  the container image, of the binaries for Linux (tools/release/image)
#	SHA256SUMS                  the digests of all of them
#	provenance.json             how it was built (SLSA)
#
# The bytes depend on the commit and on go.mod's toolchain alone, but for provenance.json, which tells when it was
# built and by whom ($RELEASE_BUILDER, a URL); `make reproduce` proves it. The version is the commit's tag.
# $RELEASE_KEY is a file with an Ed25519 key, as PEM or OpenSSH write it, or with the public half of a key that an SSH
# agent has; $RELEASE_PASSPHRASE_FILE has an encrypted key's passphrase. With a key there are provenance.intoto.jsonl,
# SHA256SUMS.sig and SHA256SUMS.sshsig, too. scripts/verify-release.sh verifies all of it.
set -eu
out=${1:-dist}
[ -z "$(git status --porcelain)" ] || { echo "release: there are uncommitted changes" >&2; exit 1; }
started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
# It becomes the folder when it is whole. In the checkout it would be an uncommitted change, which binaries tell.
final=$out
out=$(mktemp -d)/release
trap 'rm -rf "$(dirname "$out")"' EXIT
mkdir "$out"
key=${RELEASE_KEY:-}
[ -z "$key" ] || key=$(cd "$(dirname "$key")" && pwd)/$(basename "$key")
passphrase=${RELEASE_PASSPHRASE_FILE:-}
[ -z "$passphrase" ] || passphrase=$(cd "$(dirname "$passphrase")" && pwd)/$(basename "$passphrase")
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
(cd tools/release && go run ./sbom "$out"/mixtral-*)
image=
if ls "$out"/mixtral-linux-* >/dev/null 2>&1; then
	echo "release: image"
	(cd tools/release && go run ./image -o "$out" $(ls "$out"/mixtral-linux-* | grep -v '\.cdx\.json$'))
	image=image/index.json
fi
# shellcheck disable=SC2086
(cd "$out" && sha256sum mixtral-* verify.html $image >SHA256SUMS && cat SHA256SUMS)
(cd tools/release && go run ./provenance -started "$started" -key "$key" -passphrase-file "$passphrase" \
	-builder "${RELEASE_BUILDER:-https://github.com/hxp-enterprise/mixtral/blob/main/scripts/release.sh}" "$out")
rm -rf "$final"
mkdir -p "$(dirname "$final")"
mv "$out" "$final"
