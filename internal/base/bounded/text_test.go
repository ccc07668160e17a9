package bounded

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func TestShort(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s") + string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		s = strings.Repeat(s, rapid.IntRange(1, 30).Draw(t, "times"))
		most := rapid.IntRange(10, 300).Draw(t, "most")
		d := Short(s, most)
		if len(d) > most || !utf8.ValidString(d) || strings.ContainsAny(d, "\r\n") {
			t.Fatalf("%q becomes %q", s, d)
		}
	})
	if got := Short(" a\n b ", 20); got != "a b" {
		t.Errorf("%q", got)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("é", mostLine)
	for text, want := range map[string]string{"": "", "a\n  ^\n": "a\n  ^\n", "a\n" + long + "\n ^": "a\n" +
		long[:mostLine] + "…\n ^"} {
		if got := Lines(text); got != want || !utf8.ValidString(got) {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

// TestValues: decoding makes no more values than were counted.
func TestValues(t *testing.T) {
	var count func(v any) int
	count = func(v any) int {
		n := 1
		switch x := v.(type) {
		case map[string]any:
			for _, m := range x {
				n += 1 + count(m)
			}
		case []any:
			for _, m := range x {
				n += count(m)
			}
		}
		return n
	}
	for _, text := range []string{`1`, `[]`, `[{},{}]`, `{"a":{"b":[1,2,{"c":"x,y:[{"}]}}`, `"a\",b"`, `[[[[]]]]`} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if got, least := Values([]byte(text)), count(v); got < least || got > 3*least {
			t.Errorf("%s: %d, it has %d", text, got, least)
		}
	}
}
