package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// maxSalt bounds cache_salt, in bytes.
const maxSalt = 512

// cacheSalt reads vLLM's cache_salt: requests share cached prompts only with requests that have the same one.
func cacheSalt(o *object) string {
	salt, ok := o.Text("cache_salt")
	switch {
	case ok && salt == "":
		o.Fail("cache_salt", "must not be empty; leave it out to share with all who have none")
	case len(salt) > maxSalt:
		o.Fail("cache_salt", "must have at most %d bytes, has %d", maxSalt, len(salt))
	}
	return salt
}

// scope identifies the requests that share cached prompts with a request: its key, if that is configured, and its
// salt.
func (s *Server) scope(x *exchange, salt string) string {
	if s.c.ScopePerKey {
		return strconv.Quote(x.caller.Name) + salt
	}
	return salt
}

// salted returns a body for an upstream, with a cache_salt that separates the prompts of the request's key from those
// of other keys. A body that it cannot read stays as it is: the upstream will refuse it.
func (s *Server) salted(x *exchange, body []byte) []byte {
	var fields map[string]json.RawMessage
	if !s.c.ScopePerKey || json.Unmarshal(body, &fields) != nil || fields == nil {
		return body
	}
	var salt string
	if given, ok := fields["cache_salt"]; ok && json.Unmarshal(given, &salt) != nil {
		return body
	}
	hash := sha256.Sum256([]byte(s.scope(x, salt))) // the upstream need not know the key's name
	fields["cache_salt"] = encode(hex.EncodeToString(hash[:]))
	return encode(fields)
}
