package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/crypto/ssh"
)

// ReadSigner's errors match one of these, or ErrKey.
var (
	ErrEncrypted  = errors.New("the key is encrypted, and there is no passphrase")
	ErrPassphrase = errors.New("the passphrase does not open the key")
)

// Signer signs statements with a private key, which it never reveals.
type Signer struct {
	key  Key
	sign func(ctx context.Context, message []byte) ([]byte, error)
}

// NewSigner makes a Signer of a private key in memory or on a device. Errors match ErrKey.
func NewSigner(private crypto.Signer) (*Signer, error) {
	key, err := NewKey(private.Public(), "")
	if err != nil {
		return nil, err
	}
	hash := crypto.SHA256
	switch p := private.Public().(type) {
	case ed25519.PublicKey:
		hash = 0
	case *ecdsa.PublicKey:
		if hash, err = digestOf(p); err != nil {
			return nil, err
		}
	}
	return &Signer{key: key, sign: func(_ context.Context, message []byte) ([]byte, error) {
		if hash != 0 {
			h := hash.New()
			h.Write(message)
			message = h.Sum(nil)
		}
		return private.Sign(rand.Reader, message, hash)
	}}, nil
}

// Key returns the public key, which a verifier must accept.
func (s *Signer) Key() Key { return s.key }

// KeyID returns the key's SSH fingerprint.
func (s *Signer) KeyID() (string, error) { return s.key.ID, nil }

// Sign makes a signature that Key.Verify accepts.
func (s *Signer) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return s.sign(ctx, message)
}

// SignerOptions say how ReadSigner opens a private key.
type SignerOptions struct {
	// Passphrase returns the passphrase of an encrypted key; nil: there is none, and the SSH agent is asked to sign.
	Passphrase  func() ([]byte, error)
	AgentSocket string // the socket of an SSH agent, as in SSH_AUTH_SOCK; empty: none
}

// ReadSigner reads a private key: PEM (PKCS #8, PKCS #1, SEC 1) or OpenSSH's format. If the file has a public SSH key,
// or an encrypted private key without a passphrase, the SSH agent signs instead. ReadSigner makes one signature to try
// the key, so that a key that does not work is found before a long run.
func ReadSigner(ctx context.Context, path string, o SignerOptions) (*Signer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	s, err := parseSigner(data, o)
	if err == nil {
		err = s.try(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// try signs something that is not a statement.
func (s *Signer) try(ctx context.Context) error {
	message := dsse.PAE("text/plain", []byte("can this key sign?"))
	signature, err := s.Sign(ctx, message)
	if err != nil {
		return fmt.Errorf("attest: %w: it does not sign: %w", ErrKey, err)
	}
	if err := s.key.Verify(ctx, message, signature); err != nil {
		return fmt.Errorf("attest: %w: what it signs does not fit its public key", ErrKey)
	}
	return nil
}

func parseSigner(data []byte, o SignerOptions) (*Signer, error) {
	block, _ := pem.Decode(data)
	switch {
	case block == nil && bytes.Contains(data, []byte("PRIVATE KEY")):
		return nil, fmt.Errorf("attest: %w: the PEM block is damaged", ErrKey)
	case block == nil:
		keys, err := parseLines(data, "")
		if err != nil || len(keys) != 1 {
			return nil, fmt.Errorf("attest: %w: must be a private key (PEM or OpenSSH), or a public SSH key that "+
				"the agent has", ErrKey)
		}
		return agentSigner(keys[0], o.AgentSocket)
	case block.Type == "PUBLIC KEY":
		return nil, fmt.Errorf("attest: %w: it is a public key; only a private key signs", ErrKey)
	}
	private, err := openPrivate(data, block, nil)
	if errors.Is(err, ErrEncrypted) {
		if o.Passphrase == nil {
			return agentOf(err, o.AgentSocket)
		}
		passphrase, perr := o.Passphrase()
		if perr != nil {
			return nil, perr
		}
		private, err = openPrivate(data, block, passphrase)
	}
	if err != nil {
		return nil, err
	}
	if p, ok := private.(*ed25519.PrivateKey); ok { // the type that OpenSSH's format returns
		private = *p
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("attest: %w: type %T, must be Ed25519, ECDSA or RSA", ErrKey, private)
	}
	return NewSigner(signer)
}

// encryptedError is ErrEncrypted with the public key, if the file has it in plain text.
type encryptedError struct{ public ssh.PublicKey }

func (encryptedError) Error() string        { return ErrEncrypted.Error() }
func (encryptedError) Is(target error) bool { return target == ErrEncrypted }

// openPrivate decodes a private key. It replaces the errors of libraries that might quote the file.
func openPrivate(data []byte, block *pem.Block, passphrase []byte) (any, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		if passphrase == nil {
			return nil, fmt.Errorf("attest: %w", encryptedError{})
		}
		return openPKCS8(block.Bytes, passphrase)
	}
	var private any
	var err error
	if passphrase == nil {
		private, err = ssh.ParseRawPrivateKey(data)
	} else {
		private, err = ssh.ParseRawPrivateKeyWithPassphrase(data, passphrase)
	}
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("attest: %w", encryptedError{missing.PublicKey})
	case errors.Is(err, x509.IncorrectPasswordError), err != nil && passphrase != nil && len(passphrase) == 0:
		return nil, fmt.Errorf("attest: %w", ErrPassphrase)
	case err != nil:
		return nil, fmt.Errorf("attest: %w: the PEM block %.40q is not a private key that can be read: PKCS #8, PKCS "+
			"#1, SEC 1 or OpenSSH's format is needed", ErrKey, block.Type)
	}
	return private, nil
}

// agentOf returns a signer that lets the agent sign, if the agent has the encrypted key.
func agentOf(err error, socket string) (*Signer, error) {
	var encrypted encryptedError
	if socket == "" || !errors.As(err, &encrypted) || encrypted.public == nil {
		return nil, err
	}
	inner, ok := encrypted.public.(ssh.CryptoPublicKey)
	if !ok {
		return nil, err
	}
	key, kerr := NewKey(inner.CryptoPublicKey(), "")
	if kerr != nil {
		return nil, kerr
	}
	s, aerr := agentSigner(key, socket)
	if aerr != nil {
		return nil, err // the user can do something about the encryption
	}
	return s, nil
}
