package attest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" // the default of the format
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"hash"
	"slices"
)

// Object identifiers of RFC 8018 (PKCS #5) and of NIST's AES.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES128     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// maxIterations limits the work that a file can demand to about ten seconds.
const maxIterations = 20_000_000

type encryptedPKCS8 struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct{ KDF, Cipher pkix.AlgorithmIdentifier }

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// openPKCS8 decrypts what `openssl genpkey -aes256` writes: PBES2 with PBKDF2 and AES in CBC mode (RFC 5958, RFC
// 8018).
func openPKCS8(der, passphrase []byte) (any, error) {
	unknown := fmt.Errorf("attest: %w: encrypted in a way that is not understood here; PBES2 with PBKDF2 and AES-CBC "+
		"is, as openssl pkcs8 -topk8 -v2 aes256 writes it", ErrKey)
	var box encryptedPKCS8
	var scheme pbes2
	var kdf pbkdf2Params
	var iv []byte
	if whole(der, &box) != nil || !box.Algorithm.Algorithm.Equal(oidPBES2) ||
		whole(box.Algorithm.Parameters.FullBytes, &scheme) != nil || !scheme.KDF.Algorithm.Equal(oidPBKDF2) ||
		whole(scheme.KDF.Parameters.FullBytes, &kdf) != nil || whole(scheme.Cipher.Parameters.FullBytes, &iv) != nil {
		return nil, unknown
	}
	prf, size := prfOf(kdf.PRF.Algorithm), keySize(scheme.Cipher.Algorithm)
	if prf == nil || size == 0 || len(iv) != aes.BlockSize || len(box.Data) == 0 || len(box.Data)%aes.BlockSize != 0 ||
		kdf.Iterations < 1 || kdf.Iterations > maxIterations {
		return nil, unknown
	}
	key, err := pbkdf2.Key(prf, string(passphrase), kdf.Salt, kdf.Iterations, size)
	if err != nil {
		return nil, unknown
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, unknown
	}
	plain := slices.Clone(box.Data)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, plain)
	n := int(plain[len(plain)-1])
	wrong := fmt.Errorf("attest: %w", ErrPassphrase)
	if n < 1 || n > aes.BlockSize || !bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, wrong
	}
	private, err := x509.ParsePKCS8PrivateKey(plain[:len(plain)-n])
	if err != nil {
		return nil, wrong
	}
	return private, nil
}

// whole decodes one ASN.1 value, which nothing may follow.
func whole(der []byte, to any) error {
	rest, err := asn1.Unmarshal(der, to)
	if err == nil && len(rest) > 0 {
		err = asn1.SyntaxError{Msg: "trailing data"}
	}
	return err
}

func prfOf(id asn1.ObjectIdentifier) func() hash.Hash {
	switch {
	case len(id) == 0, id.Equal(oidHMACSHA1):
		return sha1.New
	case id.Equal(oidHMACSHA256):
		return sha256.New
	case id.Equal(oidHMACSHA512):
		return sha512.New
	}
	return nil
}

func keySize(id asn1.ObjectIdentifier) int {
	for size, known := range map[int]asn1.ObjectIdentifier{16: oidAES128, 24: oidAES192, 32: oidAES256} {
		if id.Equal(known) {
			return size
		}
	}
	return 0
}
