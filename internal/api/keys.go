package api

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// ErrKeys is matched by every error about a key file.
var ErrKeys = errors.New("invalid API key file")

const (
	minKey     = 16 // characters: what is shorter can be guessed
	hashPrefix = "sha256:"
)

// Keys holds the names and SHA-256 hashes of API keys, never the keys. Keys are long and random, so a plain hash of
// them cannot be searched; a slow password hash would only slow each request down.
type Keys struct {
	names  []string
	hashes [][sha256.Size]byte
}

// ParseKeys reads a key file: on each line a name and a key, or a name and "sha256:" with the key's hash in hexadecimal.
// Empty lines and lines that start with # are skipped. Errors match ErrKeys and name the line, not its content.
func ParseKeys(r io.Reader) (*Keys, error) {
	k := &Keys{}
	seen := map[string]bool{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("%w: line %d: want a name and a key, got %d fields", ErrKeys, n, len(fields))
		}
		if seen[fields[0]] {
			return nil, fmt.Errorf("%w: line %d: the name %q stands twice", ErrKeys, n, fields[0])
		}
		seen[fields[0]] = true
		hash, err := hashKey(fields[1])
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrKeys, n, err)
		}
		k.names, k.hashes = append(k.names, fields[0]), append(k.hashes, hash)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if len(k.names) == 0 {
		return nil, fmt.Errorf("%w: it holds no key", ErrKeys)
	}
	return k, nil
}

func hashKey(key string) (hash [sha256.Size]byte, err error) {
	digits, hashed := strings.CutPrefix(key, hashPrefix)
	if !hashed {
		if len(key) < minKey {
			return hash, fmt.Errorf("the key has %d characters, at least %d are needed", len(key), minKey)
		}
		return sha256.Sum256([]byte(key)), nil
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(hash) {
		return hash, fmt.Errorf("%s must be followed by %d hexadecimal digits", hashPrefix, 2*len(hash))
	}
	return [sha256.Size]byte(raw), nil
}

// Find gives the name of a key. Its time does not depend on how much of which key matches.
func (k *Keys) Find(key string) (name string, ok bool) {
	hash := sha256.Sum256([]byte(key))
	at := -1
	for i := range k.hashes {
		equal := subtle.ConstantTimeCompare(hash[:], k.hashes[i][:])
		at = subtle.ConstantTimeSelect(equal, i, at)
	}
	if at < 0 {
		return "", false
	}
	return k.names[at], true
}

// authenticate finds the caller of a request that carries "Authorization: Bearer KEY".
func (k *Keys) authenticate(r *http.Request) (name string, err error) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	message := "an API key is needed: send it as \"Authorization: Bearer KEY\""
	if strings.EqualFold(scheme, "Bearer") && key != "" {
		if name, ok := k.Find(strings.TrimSpace(key)); ok {
			return name, nil
		}
		message = "the API key is not valid"
	}
	return "", &httpError{status: http.StatusUnauthorized, typ: typeInvalid, code: "invalid_api_key", message: message}
}
