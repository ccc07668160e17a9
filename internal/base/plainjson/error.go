package plainjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// plain is an error in other words.
type plain struct {
	text string
	err  error
}

func (p *plain) Error() string { return p.text }
func (p *plain) Unwrap() error { return p.err }

const early = "not JSON: it ends too early, before everything is closed"

// wanted says, by the end of a message of encoding/json about a wrong character, what must be there.
var wanted = []struct{ end, words string }{
	{" looking for beginning of value",
		"where a value must begin: text in double quotes, a number, a list, an object, true, false or null"},
	{" looking for beginning of object key string", "where a key in double quotes must begin"},
	{" after object key:value pair", "where a comma or } must follow"},
	{" after object key", "where a colon must follow the key"},
	{" after array element", "where a comma or ] must follow"},
	{" after top-level value", "after the end"},
	{" in string literal", "in a text, where it must be escaped"},
	{" in string escape code", `after a \ in a text; allowed are \" \\ \/ \b \f \n \r \t \u`},
	{` in \u hexadecimal character escape`, `after a \u in a text, where four hexadecimal digits must follow`},
	{" numeric literal", "in a number"},
}

// Error says in plain words what an error of encoding/json means. It wraps err. Other errors stay as they are.
func Error(err error) error {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &plain{early, err}
	case errors.As(err, &syntax):
		return &plain{syntaxWords(syntax), err}
	case errors.As(err, &wrong):
		return &plain{typeWords(wrong), err}
	}
	if text, ok := strings.CutPrefix(err.Error(), "json: "); ok {
		return &plain{text, err}
	}
	return err
}

func syntaxWords(err *json.SyntaxError) string {
	text := err.Error()
	if strings.HasPrefix(text, "unexpected end") {
		return early
	}
	if text == "expected colon after object key" {
		return "not JSON: a colon must follow a key"
	}
	got, ok := strings.CutPrefix(text, "invalid character ")
	if !ok {
		return "not JSON: " + text
	}
	for _, w := range wanted {
		if before, found := strings.CutSuffix(got, w.end); found {
			before, _, _ = strings.Cut(before, " in exponent of")
			before, _, _ = strings.Cut(before, " after decimal point in")
			before, _, _ = strings.Cut(before, " in")
			return fmt.Sprintf("not JSON: got %s %s", before, w.words)
		}
	}
	if before, after, found := strings.Cut(got, " in literal "); found {
		word, _, _ := strings.Cut(after, " ")
		return fmt.Sprintf("not JSON: got %s in a word that begins as %s does; text must be in double quotes", before,
			word)
	}
	return "not JSON: got " + got
}

func typeWords(err *json.UnmarshalTypeError) string {
	given := map[string]string{"string": "text", "array": "a list", "object": "an object", "bool": "true or false",
		"number": "a number"}
	got, rest, _ := strings.Cut(err.Value, " ")
	if given[got] != "" {
		got = given[got]
	}
	if rest != "" { // "number 1.5"
		got = rest
	}
	text := fmt.Sprintf("must be %s, got %s", Kind(err.Type), got)
	if err.Field == "" {
		return text
	}
	return err.Field + ": " + text
}

// Kind says what a type is in JSON.
func Kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Pointer:
		return Kind(t.Elem())
	case reflect.Struct, reflect.Map, reflect.Interface:
		return "an object"
	}
	return "a whole number"
}

// At is Error with the line of the text at which the error is: "line 2: …".
func At(data []byte, err error) error {
	if err == nil {
		return nil
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return &plain{"not JSON: it is empty", err}
	}
	offset := int64(-1)
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &wrong):
		offset = wrong.Offset
	}
	words := Error(err)
	if syntax != nil && offset == int64(len(data)) && strings.HasPrefix(syntax.Error(), "invalid character ' '") &&
		data[offset-1] != ' ' { // the end counts as a space
		return &plain{early, err}
	}
	if offset < 1 || offset > int64(len(data)) {
		return words
	}
	line := 1 + bytes.Count(data[:offset-1], []byte("\n"))
	return &plain{fmt.Sprintf("line %d: %s", line, words.Error()), err}
}
