package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/crypto/ssh"

	"github.com/hxp-enterprise/mixtral/certify/attest"
)

// openKey takes an Ed25519 key and no other: openssl and ssh-keygen check its signatures without options that a reader
// might get wrong.
func openKey(ctx context.Context, path string, o attest.SignerOptions) (*attest.Signer, error) {
	by, err := attest.ReadSigner(ctx, path, o)
	if err != nil {
		return nil, err
	}
	if _, ok := by.Key().Public().(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("%s: %w: type %T, must be Ed25519", path, attest.ErrKey, by.Key().Public())
	}
	return by, nil
}

func firstLine(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// sign signs the statement, and SHA256SUMS for two tools.
func sign(ctx context.Context, dir string, payload []byte, by *attest.Signer) error {
	signer, err := dsse.NewEnvelopeSigner(by)
	if err != nil {
		return err
	}
	envelope, err := signer.SignPayload(ctx, attest.PayloadType, payload)
	if err != nil {
		return err
	}
	line, err := json.Marshal(envelope)
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		return err
	}
	raw, err := by.Sign(ctx, sums)
	if err != nil {
		return err
	}
	armoured, err := sshSignature(ctx, sums, by)
	if err != nil {
		return err
	}
	write := func(name string, data []byte) error { return os.WriteFile(filepath.Join(dir, name), data, 0o644) }
	return errors.Join(write("provenance.intoto.jsonl", append(line, '\n')), write("SHA256SUMS.sig", raw),
		write("SHA256SUMS.sshsig", armoured))
}

// sshSignature is what `ssh-keygen -Y sign -n file` makes: OpenSSH's PROTOCOL.sshsig, version 1.
func sshSignature(ctx context.Context, message []byte, by *attest.Signer) ([]byte, error) {
	const magic, namespace, hash = "SSHSIG", "file", "sha512"
	sum := sha512.Sum512(message)
	raw, err := by.Sign(ctx, append([]byte(magic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Sum string }{
		namespace, "", hash, string(sum[:])})...))
	if err != nil {
		return nil, err
	}
	public, err := ssh.NewPublicKey(by.Key().Public())
	if err != nil {
		return nil, err
	}
	blob := append([]byte(magic), ssh.Marshal(struct {
		Version                                      uint32
		Public, Namespace, Reserved, Hash, Signature string
	}{1, string(public.Marshal()), namespace, "", hash,
		string(ssh.Marshal(struct{ Format, Blob string }{ssh.KeyAlgoED25519, string(raw)}))})...)
	out := bytes.NewBufferString("-----BEGIN SSH SIGNATURE-----\n")
	for text := base64.StdEncoding.EncodeToString(blob); text != ""; {
		n := min(70, len(text)) // as ssh-keygen breaks lines
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	out.WriteString("-----END SSH SIGNATURE-----\n")
	return out.Bytes(), nil
}
