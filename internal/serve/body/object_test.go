package body

import (
	"errors"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

func parse(t *testing.T, text string) *Object {
	t.Helper()
	o, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// wantError fails unless an object has this error.
func wantError(t *testing.T, o *Object, param, code string) {
	t.Helper()
	var e *Error
	if !errors.As(o.Err, &e) || e.Param != param || e.Code != code || !errors.Is(o.Err, llm.ErrBadRequest) {
		t.Errorf("got %+v, want one of %q with code %q", o.Err, param, code)
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "5", "[]", "null", `"a"`, `{"a":}`, `{"a":1`} {
		var e *Error
		if _, err := Parse([]byte(text)); !errors.As(err, &e) || e.Code != CodeJSON {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestNames: an error uses the client's name of a field at any depth.
func TestNames(t *testing.T) {
	o := parse(t, `{"messages":[{"parts":[{"text":5}]}]}`)
	items, _ := o.List("messages", 9)
	m := o.Child("messages[0]", items[0])
	parts, _ := m.List("parts", 9)
	p := m.Child("parts[0]", parts[0])
	p.Text("text")
	m.Adopt(p)
	o.Adopt(m)
	wantError(t, o, "messages[0].parts[0].text", "")

	for path, want := range map[string]string{"messages[0]": "input[2].parts[0].text",
		"messages":             "input[0].parts[0].text",
		"messages[0].parts[0]": "elsewhere.text", "messages[0].parts[0].text": "elsewhere"} {
		o := parse(t, `{}`)
		name := map[string]string{"messages[0]": "input[2]", "messages": "input"}[path]
		if name == "" {
			name = "elsewhere"
		}
		o.Call(path, name)
		c := o.Child("messages[0]", []byte(`{}`)).Child("parts[0]", []byte(`{}`))
		if got := c.Name("text"); got != want {
			t.Errorf("%s called %s: got %s, want %s", path, name, got, want)
		}
	}
	o = parse(t, `{"max_tokens":1}`)
	o.Set("max_tokens", []byte(`"x"`), "n_predict")
	o.Integer("max_tokens", 1, 2)
	wantError(t, o, "n_predict", "")
}

// TestUnknown: a field that no code reads, in an object within another, is refused, or ignored if that is configured.
func TestUnknown(t *testing.T) {
	for _, lenient := range []bool{false, true} {
		o := parse(t, `{"a":{"text":"x","texts":null,"txet":1}}`)
		o.Lenient = lenient
		c := o.Child("a", o.Raw("a"))
		c.Text("text")
		o.Adopt(c)
		if lenient && o.Err == nil {
			continue
		}
		wantError(t, o, "a.txet", CodeUnknown)
		var e *Error
		errors.As(o.Err, &e)
		if want := `a.txet: is not a field of this request; did you mean "text"?`; e.Message != want || e.Error() != e.Code {
			t.Errorf("%q, in logs %q", e.Message, e.Error())
		}
	}
	o := parse(t, `{"what is\nthis":1}`)
	o.Refuse(o.Unknown()[0], nil)
	wantError(t, o, "", CodeUnknown)
}

func TestFirstErrorStays(t *testing.T) {
	o := parse(t, `{"a":"x","b":"y","c":8.0}`)
	if n, ok := o.Integer("c", 1, 9); n != 8 || !ok {
		t.Errorf("8.0 is %d, %v", n, ok)
	}
	o.Flag("a")
	o.Unsupported("b")
	wantError(t, o, "a", "")
	if s, ok := o.Text("b"); s != "" || ok {
		t.Errorf("read %q after an error", s)
	}
}
