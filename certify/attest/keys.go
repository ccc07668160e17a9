package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// ErrKey matches errors about keys that cannot be used.
var ErrKey = errors.New("unusable key")

// Limits of keys and their files. A smaller RSA key is not secure, and a larger one is only slow.
const (
	maxKeyFile = 1 << 20
	minRSABits = 2048
	maxRSABits = 16384
)

// Key is a public key whose signature is accepted.
type Key struct {
	ID     string // its SSH fingerprint, as ssh-keygen -l prints it, for all file formats
	Name   string // its owner according to the file: the comment or the principal of an SSH key
	public crypto.PublicKey
}

// NewKey makes a Key of an Ed25519, ECDSA or RSA public key. Errors match ErrKey.
func NewKey(public crypto.PublicKey, name string) (Key, error) {
	switch p := public.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if _, err := digestOf(p); err != nil {
			return Key{}, err
		}
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < minRSABits || n > maxRSABits {
			return Key{}, fmt.Errorf("attest: %w: RSA with %d bits, must be %d to %d", ErrKey, n, minRSABits,
				maxRSABits)
		}
	default:
		return Key{}, fmt.Errorf("attest: %w: type %T, must be Ed25519, ECDSA or RSA", ErrKey, public)
	}
	k, err := ssh.NewPublicKey(public)
	if err != nil {
		return Key{}, fmt.Errorf("attest: %w: %w", ErrKey, err)
	}
	return Key{ID: ssh.FingerprintSHA256(k), Name: name, public: public}, nil
}

// digestOf returns the hash for an elliptic curve.
func digestOf(p *ecdsa.PublicKey) (crypto.Hash, error) {
	switch p.Curve {
	case elliptic.P256():
		return crypto.SHA256, nil
	case elliptic.P384():
		return crypto.SHA384, nil
	case elliptic.P521():
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("attest: %w: curve %s, must be P-256, P-384 or P-521", ErrKey, p.Params().Name)
}

// Verify checks the signature of a message: Ed25519; ECDSA in ASN.1 with the hash of the curve's size; RSA with
// PKCS #1 v1.5 and SHA-256. An SSH agent can make these signatures too.
func (k Key) Verify(_ context.Context, message, signature []byte) error {
	ok := false
	switch p := k.public.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(p, message, signature)
	case *ecdsa.PublicKey:
		hash, err := digestOf(p)
		if err != nil {
			return err
		}
		h := hash.New()
		h.Write(message)
		ok = ecdsa.VerifyASN1(p, h.Sum(nil), signature)
	case *rsa.PublicKey:
		sum := sha256.Sum256(message)
		ok = rsa.VerifyPKCS1v15(p, crypto.SHA256, sum[:], signature) == nil
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// KeyID returns the key's name in envelopes, which is its ID.
func (k Key) KeyID() (string, error) { return k.ID, nil }

// Public returns the public key itself.
func (k Key) Public() crypto.PublicKey { return k.public }

// ReadKeys reads the public keys of a file: PEM, one SSH public key, or several lines as in authorized_keys and
// allowed_signers. Errors about its content match ErrKey.
func ReadKeys(path string) ([]Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("attest: %w", err)
	}
	keys, err := ParseKeys(data, filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// ParseKeys reads public keys as ReadKeys does. Keys without their own name get the given one.
func ParseKeys(data []byte, name string) ([]Key, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("attest: %w: larger than %d bytes", ErrKey, maxKeyFile)
	}
	var keys []Key
	var err error
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		keys, err = parsePEM(data, name)
	} else {
		keys, err = parseLines(data, name)
	}
	if err == nil && len(keys) == 0 {
		err = fmt.Errorf("attest: %w: there is no public key; a PEM block PUBLIC KEY or a line such as "+
			"\"ssh-ed25519 AAAA… name\" is one", ErrKey)
	}
	return keys, err
}

func parsePEM(data []byte, name string) ([]Key, error) {
	var keys []Key
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return keys, nil
		}
		var public crypto.PublicKey
		var err error
		switch {
		case block.Type == "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case block.Type == "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case strings.Contains(block.Type, "PRIVATE"):
			return nil, fmt.Errorf("attest: %w: it is a private key; give the public one, and keep this one to "+
				"yourself", ErrKey)
		default:
			err = fmt.Errorf("PEM block %.40q, must be \"PUBLIC KEY\"", block.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("attest: %w: %w", ErrKey, err)
		}
		k, err := NewKey(public, name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
}

// limiting lists options of authorized_keys and allowed_signers that restrict the use of a key. None of them is
// implemented here, so keys with such options are refused: without the option, a key would be accepted for more than
// the file allows.
var limiting = []string{"cert-authority", "namespaces", "valid-after", "valid-before", "expiry-time", "revoked"}

func parseLines(data []byte, name string) ([]Key, error) {
	var keys []Key
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := parseLine(line, name)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// parseLine reads "TYPE KEY [COMMENT]", after the options of authorized_keys or the principals of allowed_signers.
func parseLine(line, name string) (Key, error) {
	public, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil { // "PRINCIPALS OPTIONS TYPE KEY": two fields come before the key
		if principals, rest, ok := strings.Cut(line, " "); ok {
			var again error
			if public, comment, options, _, again = ssh.ParseAuthorizedKey([]byte(rest)); again == nil {
				err, options = nil, append([]string{principals}, options...)
			}
		}
	}
	if err != nil {
		return Key{}, fmt.Errorf("attest: %w: no SSH public key: %w", ErrKey, err)
	}
	for _, o := range options {
		word, _, assigned := strings.Cut(strings.ToLower(o), "=")
		switch {
		case slices.Contains(limiting, word):
			return Key{}, fmt.Errorf("attest: %w: the option %.60q limits what the key is good for, and is not "+
				"understood here; give a file with the key alone", ErrKey, o)
		case !assigned && strings.Contains(o, "@") && comment == "":
			comment = o // a principal
		}
	}
	if comment != "" {
		name = comment
	}
	if cert, ok := public.(*ssh.Certificate); ok {
		return Key{}, fmt.Errorf("attest: %w: %s is a certificate, must be a key", ErrKey, cert.Type())
	}
	inner, ok := public.(ssh.CryptoPublicKey)
	if !ok || strings.HasPrefix(public.Type(), "sk-") {
		return Key{}, fmt.Errorf("attest: %w: type %s, must be ssh-ed25519, ecdsa-sha2-nistp… or ssh-rsa", ErrKey,
			public.Type())
	}
	return NewKey(inner.CryptoPublicKey(), name)
}
