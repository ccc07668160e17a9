#!/bin/sh
# Verifies a downloaded release with common tools alone: openssl (3.0 or newer), and sha256sum or shasum.
#
#	verify-release.sh FOLDER KEY
#
# KEY is the file of the releases' public key, as PEM or as a line that begins with ssh-ed25519: from a place that you
# trust, not from beside the release. Files that were not downloaded are not missed, but at least one must be there;
# without the signature of the provenance (provenance.intoto.jsonl) that is left out, and said.
set -eu
die() {
	echo "verify-release: $*" >&2
	exit 1
}
[ $# = 2 ] || { echo "usage: verify-release.sh FOLDER KEY" >&2; exit 2; }
folder=$1 key=$2
[ -r "$key" ] || die "$key cannot be read"
[ -f "$folder/SHA256SUMS" ] || die "$folder has no SHA256SUMS"
[ -f "$folder/SHA256SUMS.sig" ] || die "$folder has no SHA256SUMS.sig: the release is not signed"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

if grep -q '^ssh-ed25519 ' "$key"; then
	# What both formats have in common are the key's 32 bytes, the last of SSH's; the twelve before them are PEM's.
	[ "$(grep -c '^ssh-ed25519 ' "$key")" = 1 ] || die "$key has several keys, one is needed"
	{
		printf '\060\052\060\005\006\003\053\145\160\003\041\000'
		sed -n 's/^ssh-ed25519 \([^ ]*\).*/\1/p' "$key" | openssl base64 -d -A | tail -c 32
	} | openssl pkey -pubin -inform DER -out "$dir/key.pem" || die "$key is not an Ed25519 key"
else
	openssl pkey -pubin -in "$key" -out "$dir/key.pem" 2>"$dir/error" ||
		die "$key is not a public key: $(head -1 "$dir/error")"
fi
signed() { # signed MESSAGE SIGNATURE
	openssl pkeyutl -verify -pubin -inkey "$dir/key.pem" -rawin -in "$1" -sigfile "$2" >/dev/null 2>&1
}

signed "$folder/SHA256SUMS" "$folder/SHA256SUMS.sig" || die "SHA256SUMS is not signed by this key"
command -v sha256sum >/dev/null 2>&1 || sha256sum() { shasum -a 256 "$@"; }
(cd "$folder" && sha256sum --check --strict --ignore-missing SHA256SUMS) || die "files are not those that were signed"

if [ -f "$folder/provenance.intoto.jsonl" ]; then
	# DSSE: what is signed is the payload behind a line that gives its type and its length.
	field() { sed -n 's/.*"'"$1"'": *"\([^"]*\)".*/\1/p' "$folder/provenance.intoto.jsonl"; }
	type=$(field payloadType)
	[ "$type" = application/vnd.in-toto+json ] || die "provenance.intoto.jsonl has the type \"$type\""
	field payload | openssl base64 -d -A >"$dir/payload"
	field sig | openssl base64 -d -A >"$dir/signature"
	{
		printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(($(wc -c <"$dir/payload")))"
		cat "$dir/payload"
	} >"$dir/message"
	signed "$dir/message" "$dir/signature" || die "the provenance is not signed by this key"
	# Each line of SHA256SUMS must be a subject of the provenance.
	tr -d ' \n' <"$dir/payload" >"$dir/flat"
	while read -r sum name; do
		grep -qF "{\"name\":\"$name\",\"digest\":{\"sha256\":\"$sum\"}}" "$dir/flat" ||
			die "the provenance is not about $name with the digest $sum"
	done <"$folder/SHA256SUMS"
	commit=$(sed -n 's/.*"gitCommit":"\([0-9a-f]*\)".*/\1/p' "$dir/flat")
	builder=$(sed -n 's/.*"builder":{"id":"\([^"]*\)".*/\1/p' "$dir/flat")
	echo "provenance: commit $commit, built by $builder"
else
	echo "provenance: NOT VERIFIED: $folder has no provenance.intoto.jsonl"
fi
echo "verify-release: passed"
