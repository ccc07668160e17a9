package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// maxSalt bounds cache_salt, in bytes.
const maxSalt = 512

// cacheSalt reads vLLM's cache_salt: requests share computed prompts only with those that have the same.
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

// scope is within what a request shares computed prompts: its key, where that is asked for, and its salt.
func (s *Server) scope(x *exchange, salt string) string {
	if s.c.ScopePerKey {
		return strconv.Quote(x.caller.Name) + salt
	}
	return salt
}

// salted gives a body for an upstream whose cache_salt keeps its key's prompts apart from those of other keys. A body
// that it cannot read it leaves as it is: the upstream will say so.
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
