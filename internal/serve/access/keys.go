package access

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ErrKeys is matched by every error about a key file.
var ErrKeys = errors.New("invalid API key file")

// Reasons why a request's key is refused. The client reads the texts.
var (
	ErrKeyMissing = errors.New("an API key is needed: send it as \"Authorization: Bearer KEY\" or \"X-Api-Key: KEY\"")
	ErrKeyUnknown = errors.New("the API key is not valid")
)

const (
	minKey     = 16      // characters: shorter keys can be guessed
	maxLines   = 100_000 // each key is compared with that of every request
	hashPrefix = "sha256:"
)

// Keys holds the names, SHA-256 hashes and limits of API keys, but never the keys themselves. Keys are long and
// random, so a plain hash cannot be searched for its key; a slow password hash would only slow down each request.
type Keys struct {
	names  []string
	hashes [][sha256.Size]byte
	limits []Limits
}

// anyKey is the name of a line without a key. Its limits apply to keys that set none of their own.
const anyKey = "*"

// ParseKeys reads a key file. Each line has a name and a key, or a name and "sha256:" with the key's hash in
// hexadecimal. The key's limits may follow, as in "requests_per_minute=60 tokens_per_minute=20000 concurrent=4". A
// limit that is not set is taken from the line with the name *; 0 means no limit. Empty lines and lines that start
// with # are skipped. Errors match ErrKeys and name the line, but do not show its content.
func ParseKeys(r io.Reader) (*Keys, error) {
	k := &Keys{}
	seen := map[string]bool{}
	var common given
	var own []given
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if n > maxLines {
			return nil, fmt.Errorf("%w: it has more than %d lines", ErrKeys, maxLines)
		}
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		name := fields[0]
		if seen[name] {
			return nil, fmt.Errorf("%w: line %d: the name %q is given twice", ErrKeys, n, name)
		}
		seen[name] = true
		var err error
		if name == anyKey {
			if common, err = parseLimits(fields[1:]); err != nil {
				return nil, fmt.Errorf("%w: line %d: %w", ErrKeys, n, err)
			}
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("%w: line %d: must have a name and a key, got one field", ErrKeys, n)
		}
		hash, err := hashKey(fields[1])
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrKeys, n, err)
		}
		limits, err := parseLimits(fields[2:])
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrKeys, n, err)
		}
		k.names, k.hashes, own = append(k.names, name), append(k.hashes, hash), append(own, limits)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if len(k.names) == 0 {
		return nil, fmt.Errorf("%w: it has no keys", ErrKeys)
	}
	for _, g := range own {
		k.limits = append(k.limits, g.over(common))
	}
	return k, nil
}

// limitNames are the names of limits in a key file, in the order of the fields of Limits.
var limitNames = [...]string{"requests_per_minute", "tokens_per_minute", "concurrent"}

// given holds the limits that a line sets; nil for those that it does not.
type given [len(limitNames)]*int

func (g given) over(common given) Limits {
	var n [len(limitNames)]int
	for i := range n {
		for _, v := range []*int{common[i], g[i]} {
			if v != nil {
				n[i] = *v
			}
		}
	}
	return Limits{Requests: n[0], Tokens: n[1], Concurrent: n[2]}
}

// maxLimit is far above what one machine can do in a minute, and keeps the arithmetic of buckets exact.
const maxLimit = 1_000_000_000

func parseLimits(fields []string) (g given, err error) {
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		i := slices.Index(limitNames[:], name)
		if i < 0 { // it may be part of a key, so the error does not show it
			return g, fmt.Errorf("after the key only limits may follow: %s, each as NAME=NUMBER",
				strings.Join(limitNames[:], ", "))
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > maxLimit {
			return g, fmt.Errorf("%s must be between 0 and %d, got %q", name, maxLimit, value)
		}
		if g[i] != nil {
			return g, fmt.Errorf("%s is given twice", name)
		}
		g[i] = &n
	}
	return g, nil
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

// Find returns the name and the limits of a key. The time it takes does not depend on how much of which key matches.
func (k *Keys) Find(key string) (name string, l Limits, ok bool) {
	hash := sha256.Sum256([]byte(key))
	at := -1
	for i := range k.hashes {
		equal := subtle.ConstantTimeCompare(hash[:], k.hashes[i][:])
		at = subtle.ConstantTimeSelect(equal, i, at)
	}
	if at < 0 {
		return "", Limits{}, false
	}
	return k.names[at], k.limits[at], true
}

// has says whether there is a key with a name.
func (k *Keys) has(name string) bool { return k != nil && slices.Contains(k.names, name) }

// authenticate finds the caller of a request that carries "Authorization: Bearer KEY", or "X-Api-Key: KEY" as
// Anthropic's clients send it.
func (k *Keys) authenticate(r *http.Request) (name string, l Limits, err error) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme == "" {
		scheme, key = "Bearer", r.Header.Get("X-Api-Key")
	}
	if !strings.EqualFold(scheme, "Bearer") || key == "" {
		return "", Limits{}, ErrKeyMissing
	}
	if name, l, ok := k.Find(strings.TrimSpace(key)); ok {
		return name, l, nil
	}
	return "", Limits{}, ErrKeyUnknown
}
