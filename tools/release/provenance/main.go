// Command provenance says how a release was made, as a SLSA provenance (version 1) in an in-toto statement, and signs
// it and the release's checksums with an Ed25519 key, if there is one. It reads the folder that scripts/release.sh
// fills: SHA256SUMS, whose files it names by their digests, the container image beside it, and the binaries, which
// know their commit and their modules.
//
//	provenance -builder URL -started 2026-11-29T10:00:00Z [-key FILE] dist
//
// writes into the folder:
//
//	provenance.json           the statement
//	provenance.intoto.jsonl   the same, signed (DSSE)
//	SHA256SUMS.sig            a signature of SHA256SUMS for openssl
//	SHA256SUMS.sshsig         one for ssh-keygen -Y verify, namespace "file"
//
// Without a key only the first is written. Start reading at main; statement.go has what is said, sign.go the
// signatures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/attest"
)

func main() {
	var o options
	flag.StringVar(&o.builder, "builder", "", "who built it: a URL")
	flag.StringVar(&o.invocation, "invocation", "", "which of the builder's runs it was, if that has a name")
	started := flag.String("started", "", "when the build began, as 2026-11-29T10:00:00Z")
	flag.StringVar(&o.key, "key", "", "a file with an Ed25519 key: private, or the public half of an SSH agent's")
	passphrase := flag.String("passphrase-file", "", "a file with the passphrase of an encrypted key")
	flag.Parse()
	err := func() (err error) {
		if flag.NArg() != 1 {
			return errors.New("one folder is needed, of a release")
		}
		if o.started, err = time.Parse(time.RFC3339, *started); err != nil {
			return fmt.Errorf("-started: %w", err)
		}
		o.finished = time.Now()
		o.signer.AgentSocket = os.Getenv("SSH_AUTH_SOCK")
		if *passphrase != "" {
			o.signer.Passphrase = func() ([]byte, error) { return firstLine(*passphrase) }
		}
		return run(context.Background(), flag.Arg(0), o)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "provenance:", err)
		os.Exit(1)
	}
}

// options are what a folder cannot tell.
type options struct {
	builder, invocation, key string
	started, finished        time.Time
	signer                   attest.SignerOptions
}

func run(ctx context.Context, dir string, o options) error {
	var by *attest.Signer
	if o.key != "" { // a key that does not sign comes to light before anything is written
		var err error
		if by, err = openKey(ctx, o.key, o.signer); err != nil {
			return err
		}
	}
	s, err := describe(dir, o)
	if err != nil {
		return err
	}
	payload, err := encode(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "provenance.json"), payload, 0o644); err != nil {
		return err
	}
	if by == nil {
		fmt.Println("provenance: NOT SIGNED: no key is given")
		return nil
	}
	if err := sign(ctx, dir, payload, by); err != nil {
		return err
	}
	fmt.Printf("provenance: signed with %s\n", by.Key().ID)
	return nil
}
