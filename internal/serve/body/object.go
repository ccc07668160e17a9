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

// Object is a JSON object whose fields are read one by one. The first error stays; after it every read gives a zero
// value. A null counts as an absent field.
type Object struct {
	Fields  map[string]json.RawMessage
	Bytes   []byte // the whole body, as it came; nil in an object within it
	Err     error  // an *Error
	Lenient bool   // fields that nobody reads are passed over, here and in the objects within

	path  string            // of the object itself, "" for the body
	names map[string]string // what the client calls a path, where that is another name; see Set
	seen  map[string]bool   // fields that were asked for
}

// Error is a body that is refused.
type Error struct {
	Param   string // the field as the client calls it, "messages[1].role"; empty where there is none
	Code    string // empty where a field's value is not allowed
	Message string
	Quotes  bool // Message holds words of the client's: they are for it alone, and not for logs
}

// Codes of errors.
const (
	CodeJSON        = "invalid_json"          // the body is not a JSON object
	CodeUnsupported = "unsupported_parameter" // the field asks for what this service does not do
	CodeUnknown     = "unknown_parameter"     // nobody knows the field
)

// Error is what logs may say.
func (e *Error) Error() string {
	if e.Quotes {
		return e.Code
	}
	return e.Message
}

// Is makes every Error an llm.ErrBadRequest.
func (e *Error) Is(target error) bool { return target == llm.ErrBadRequest }

// Bad is the error of a field whose value is not allowed.
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

// Path is what the client calls the object itself; empty for the body.
func (o *Object) Path() string { return o.called(o.path) }

// Name is what the client calls a field, in full: "messages[1].role".
func (o *Object) Name(field string) string {
	if o.path != "" {
		field = o.path + "." + field
	}
	return o.called(field)
}

// called is what the client calls a path.
func (o *Object) called(path string) string {
	for end := len(path); end > 0; end = strings.LastIndexAny(path[:end], ".[") {
		if name, ok := o.names[path[:end]]; ok {
			return name + path[end:]
		}
	}
	return path
}

// Set gives a field a value that came from elsewhere: errors about it, and about what is in it, name from. An empty
// from keeps the field's own name.
func (o *Object) Set(field string, v json.RawMessage, from string) {
	o.Fields[field] = v
	if from != "" {
		o.Call(field, from)
	}
}

// Call makes errors about a path, such as "messages[1]", and about what is in it, name what the client calls it.
func (o *Object) Call(path, name string) {
	if o.names == nil {
		o.names = map[string]string{}
	}
	o.names[path] = name
}

// Fail keeps an error about a field, if it is the first.
func (o *Object) Fail(field, format string, args ...any) {
	if o.Err == nil {
		o.Err = Bad(o.Name(field), format, args...)
	}
}

// Unsupported refuses a field that asks for what this service does not do, with OpenAI's code for it.
func (o *Object) Unsupported(field string) {
	if o.Err == nil {
		o.Err = &Error{Code: CodeUnsupported, Param: o.Name(field),
			Message: o.Name(field) + ": is not supported by this service"}
	}
}

// Raw gives a field's JSON, nil where it is absent or null.
func (o *Object) Raw(field string) json.RawMessage {
	o.Know(field)
	v := o.Fields[field]
	if o.Err != nil || string(v) == "null" {
		return nil
	}
	return v
}

// Know takes note of fields that are known, whatever they hold.
func (o *Object) Know(fields ...string) {
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	for _, f := range fields {
		o.seen[f] = true
	}
}

// Known lists the fields that were asked for.
func (o *Object) Known() []string { return slices.Sorted(maps.Keys(o.seen)) }

// Knows tells whether a field was asked for.
func (o *Object) Knows(field string) bool { return o.seen[field] }

// Unknown lists the fields that have a value and that nobody has asked for.
func (o *Object) Unknown() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(o.Fields)) {
		if !o.seen[name] && string(o.Fields[name]) != "null" {
			names = append(names, name)
		}
	}
	return names
}

// Refuse keeps the error of a field that nobody knows: passed over, it could change what an answer means. like are
// names that it may have been meant to be.
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

// Foreign refuses a field of another route's requests. instead is what it is called here, empty where there is nothing
// like it.
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

// plainName tells whether a field's name may be shown. What else stands there may be anything.
func plainName(name string) bool {
	return len(name) <= 64 && strings.Trim(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// Is tells whether a field has this JSON.
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

// Whole gives an integer. Languages without integers write 8.0 for 8.
func Whole(v json.RawMessage) (int64, bool) {
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n, true
	}
	const exact = 1 << 53 // beyond it, a float64 has no fraction to tell by
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= exact || Kind(v) != "a number" {
		return 0, false
	}
	return int64(f), true
}

// Integer reads a number without a fraction from lo to hi.
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

// List splits an array of at most most values.
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

// Child reads an object within this one, at a field or at a place such as "messages[1]". Its errors count as this
// one's after Adopt.
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

// Adopt takes over the error of an object within this one when all its fields have been read. What nobody has asked
// for in it is refused.
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

// Short cuts what a message quotes.
func Short(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
