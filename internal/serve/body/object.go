package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/spell"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Object is a JSON object whose fields are read one by one. The first error is kept; after it every read returns a
// zero value. A null counts as an absent field.
type Object struct {
	Fields  map[string]json.RawMessage
	Bytes   []byte // the whole body, as it came; nil in an object within it
	Err     error  // an *Error
	Lenient bool   // ignore fields that no code reads, here and in the objects within

	path  string            // of the object itself, "" for the body
	names map[string]string // the client's names of paths, where they differ; see Set
	seen  map[string]bool   // fields that the code has read
}

// Error refuses a body.
type Error struct {
	Param   string // the field as the client calls it, "messages[1].role"; empty if the error is about no field
	Code    string // empty where a field's value is not allowed
	Message string
	Quotes  bool // Message quotes the client: it may be sent to the client, but not logged
}

// Codes of errors.
const (
	CodeJSON        = "invalid_json"          // the body is not a JSON object
	CodeUnsupported = "unsupported_parameter" // the field asks for a feature that this service does not have
	CodeUnknown     = "unknown_parameter"     // the field is unknown
)

// Error returns a text that may be logged.
func (e *Error) Error() string {
	if e.Quotes {
		return e.Code
	}
	return e.Message
}

// Is makes every Error match llm.ErrBadRequest.
func (e *Error) Is(target error) bool { return target == llm.ErrBadRequest }

// Bad returns the error of a field whose value is not allowed.
func Bad(param, format string, args ...any) *Error {
	return &Error{Param: param, Message: fmt.Sprintf("%s: %s", param, fmt.Sprintf(format, args...))}
}

// Parse splits a body, which must be a JSON object. Its error is an *Error.
func Parse(body []byte) (*Object, error) {
	o := &Object{Bytes: body}
	if err := json.Unmarshal(body, &o.Fields); err != nil || o.Fields == nil {
		message := "the body must be a JSON object"
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			message = fmt.Sprintf("the body is not valid JSON: %v at byte %d", syntax, syntax.Offset)
		}
		return nil, &Error{Code: CodeJSON, Message: message}
	}
	return o, nil
}

// Path is the client's name of the object itself; empty for the body.
func (o *Object) Path() string { return o.called(o.path) }

// Name is the client's full name of a field: "messages[1].role".
func (o *Object) Name(field string) string {
	if o.path != "" {
		field = o.path + "." + field
	}
	return o.called(field)
}

// called returns the client's name of a path.
func (o *Object) called(path string) string {
	for end := len(path); end > 0; end = strings.LastIndexAny(path[:end], ".[") {
		if name, ok := o.names[path[:end]]; ok {
			return name + path[end:]
		}
	}
	return path
}

// Set gives a field a value that came from another field: errors about it, and about its content, name from. An empty
// from keeps the field's own name.
func (o *Object) Set(field string, v json.RawMessage, from string) {
	o.Fields[field] = v
	if from != "" {
		o.Call(field, from)
	}
}

// Call sets the client's name for a path such as "messages[1]"; errors about it and about its content use this name.
func (o *Object) Call(path, name string) {
	if o.names == nil {
		o.names = map[string]string{}
	}
	o.names[path] = name
}

// Fail records an error about a field if there is none yet.
func (o *Object) Fail(field, format string, args ...any) {
	if o.Err == nil {
		o.Err = Bad(o.Name(field), format, args...)
	}
}

// Unsupported refuses a field that asks for a feature that this service does not have, with OpenAI's error code for
// this.
func (o *Object) Unsupported(field string) {
	if o.Err == nil {
		o.Err = &Error{Code: CodeUnsupported, Param: o.Name(field),
			Message: o.Name(field) + ": is not supported by this service"}
	}
}

// Raw returns a field's JSON; nil if it is absent or null.
func (o *Object) Raw(field string) json.RawMessage {
	o.Know(field)
	v := o.Fields[field]
	if o.Err != nil || string(v) == "null" {
		return nil
	}
	return v
}

// Know marks fields as known without reading them.
func (o *Object) Know(fields ...string) {
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	for _, f := range fields {
		o.seen[f] = true
	}
}

// Known lists the fields that the code has read or marked as known.
func (o *Object) Known() []string { return slices.Sorted(maps.Keys(o.seen)) }

// Knows says whether a field was read or marked as known.
func (o *Object) Knows(field string) bool { return o.seen[field] }

// Unknown lists the fields that have a value and that the code does not know.
func (o *Object) Unknown() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(o.Fields)) {
		if !o.seen[name] && string(o.Fields[name]) != "null" {
			names = append(names, name)
		}
	}
	return names
}

// Refuse records the error of an unknown field: if it were ignored, the answer might not be what the client asked for.
// like are names that the client may have meant.
func (o *Object) Refuse(name string, like []string) {
	switch {
	case o.Err != nil:
	case !plainName(name):
		o.Err = &Error{Code: CodeUnknown,
			Message: "a field has a name that no request has: names are of letters, digits and underscores"}
	default:
		message := fmt.Sprintf("%s: is not a field of this request", o.Name(name))
		if near := spell.Nearest(name, like); near != "" {
			message += fmt.Sprintf("; did you mean %q?", near)
		}
		o.Err = &Error{Code: CodeUnknown, Param: o.Name(name), Message: message, Quotes: true}
	}
}

// Foreign refuses a field that belongs to requests of another route. instead is its name on this route; empty if there
// is nothing like it.
func (o *Object) Foreign(name, instead string) {
	if o.Err != nil {
		return
	}
	message := name + ": is not a field of this request"
	if instead != "" {
		message += fmt.Sprintf("; its name here is %q", instead)
	}
	o.Err = &Error{Code: CodeUnknown, Param: name, Message: message}
}

// plainName says whether a field's name may be shown: a client may send anything as a name.
func plainName(name string) bool {
	return len(name) <= 64 && strings.Trim(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// Is says whether a field has exactly this JSON.
func (o *Object) Is(field, value string) bool {
	return string(bytes.TrimSpace(o.Fields[field])) == value
}

// Kind names a JSON value's type for error messages: the value itself may be long or private.
func Kind(v json.RawMessage) string {
	switch v = bytes.TrimSpace(v); {
	case len(v) == 0:
		return "nothing"
	case v[0] == '"':
		return "a string"
	case v[0] == '{':
		return "an object"
	case v[0] == '[':
		return "an array"
	case v[0] == 't' || v[0] == 'f':
		return "a boolean"
	case v[0] == 'n':
		return "null"
	}
	return "a number"
}

// Text reads a string.
func (o *Object) Text(field string) (s string, ok bool) {
	v := o.Raw(field)
	if v == nil {
		return "", false
	}
	if json.Unmarshal(v, &s) != nil {
		o.Fail(field, "must be a string, got %s", Kind(v))
		return "", false
	}
	return s, true
}

// Flag reads true or false.
func (o *Object) Flag(field string) (b bool) {
	if v := o.Raw(field); v != nil && json.Unmarshal(v, &b) != nil {
		o.Fail(field, "must be true or false, got %s", Kind(v))
		return false
	}
	return b
}

// Whole returns an integer. Languages without integers write 8.0 for 8.
func Whole(v json.RawMessage) (int64, bool) {
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n, true
	}
	const exact = 1 << 53 // above it, a float64 has no fraction
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= exact || Kind(v) != "a number" {
		return 0, false
	}
	return int64(f), true
}

// Integer reads an integer from lo to hi.
func (o *Object) Integer(field string, lo, hi int64) (n int64, ok bool) {
	v := o.Raw(field)
	if v == nil {
		return 0, false
	}
	n, ok = Whole(v)
	if !ok {
		got := Kind(v)
		if got == "a number" {
			got = Short(string(v))
		}
		o.Fail(field, "must be an integer, got %s", got)
		return 0, false
	}
	if n < lo || n > hi {
		o.Fail(field, "must be between %d and %d, got %d", lo, hi, n)
		return 0, false
	}
	return n, true
}

// Number reads a number.
func (o *Object) Number(field string, allowed llm.Range) (f float64, ok bool) {
	v := o.Raw(field)
	if v == nil {
		return 0, false
	}
	if Kind(v) != "a number" {
		o.Fail(field, "must be a number, got %s", Kind(v))
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.IsNaN(f) || !allowed.Has(f) {
		o.Fail(field, "must be %v, got %s", allowed, Short(string(v)))
		return 0, false
	}
	return f, true
}

// List splits an array with at most most values.
func (o *Object) List(field string, most int) (items []json.RawMessage, ok bool) {
	v := o.Raw(field)
	if v == nil {
		return nil, false
	}
	if json.Unmarshal(v, &items) != nil {
		o.Fail(field, "must be an array, got %s", Kind(v))
		return nil, false
	}
	if len(items) > most {
		o.Fail(field, "has %d entries, at most %d are allowed", len(items), most)
		return nil, false
	}
	return items, true
}

// Child reads an object within this one, at a field or at a path such as "messages[1]". Adopt takes over its errors.
func (o *Object) Child(field string, v json.RawMessage) *Object {
	c := &Object{path: field, names: o.names, Lenient: o.Lenient}
	if o.path != "" {
		c.path = o.path + "." + field
	}
	if json.Unmarshal(v, &c.Fields) != nil || c.Fields == nil {
		o.Fail(field, "must be an object, got %s", Kind(v))
	}
	c.Err = o.Err
	return c
}

// Adopt takes over the error of an object within this one after all its fields have been read. It refuses fields of it
// that no code has read.
func (o *Object) Adopt(c *Object) {
	if c.Err == nil && !c.Lenient {
		for _, name := range c.Unknown() {
			c.Refuse(name, c.Known())
		}
	}
	if o.Err == nil {
		o.Err = c.Err
	}
}

// Short shortens a text that a message quotes.
func Short(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
