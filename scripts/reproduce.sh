#!/bin/sh
# Builds the release twice from the committed state: in two folders, the second time with nothing of the first in its
# caches. What comes out must be the same, byte for byte: binaries, bills of materials, the page and the image. Then it
# is tested: each binary started, the image too, digests and provenance compared (test/release).
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
commit=$(git rev-parse HEAD) # somebody may commit meanwhile
# A checkout may be somebody else's, as CI's often is: git and the go command must read it all the same.
printf '[safe]\n\tdirectory = *\n' >"$dir/gitconfig"
export GIT_CONFIG_GLOBAL="$dir/gitconfig"
# A machine that has no way to the release's Go can still show that its own gives the same bytes twice.
release=$(sh scripts/release-go.sh)
if ! GOTOOLCHAIN=$release go version >/dev/null 2>&1; then
	echo "reproduce: $release cannot be downloaded: building with $(GOTOOLCHAIN=local go env GOVERSION)" >&2
	export RELEASE_GO=local
fi
build() { # build FOLDER
	git clone -q --no-local . "$dir/$1"
	git -C "$dir/$1" checkout -q "$commit"
	(cd "$dir/$1" && sh scripts/release.sh out >/dev/null)
}
build first
GOCACHE=$dir/cache TMPDIR=$(mktemp -d -p "$dir") build another/place
cmp "$dir/first/out/SHA256SUMS" "$dir/another/place/out/SHA256SUMS" || {
	echo "reproduce: two builds of one commit differ" >&2
	exit 1
}
cat "$dir/first/out/SHA256SUMS"
# Without a binary for Linux there is no image, and nothing that can be started here.
case " ${PLATFORMS:-linux/} " in
*" linux/"*) (cd "$dir/first/test" && MIXTRAL_DIST="$dir/first/out" go test -count 1 -timeout 30m -v ./release) ;;
*) echo "reproduce: nothing is for Linux: NOT TESTED" ;;
esac
echo "reproduce: passed"
