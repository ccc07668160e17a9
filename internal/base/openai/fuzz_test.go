package openai

import (
	"encoding/json"
	"testing"
)

// FuzzAppendString: the hand-written encoder's output is read as the same string as that of encoding/json.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é😀日本\u2028\u2029", "\xff\xc3\xed\xa0\x80",
		"\ufffd", "</script>&'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		data := AppendString([]byte("x"), s)[1:]
		var got string
		if err := json.Unmarshal(data, &got); err != nil || got != string([]rune(s)) {
			t.Fatalf("%q became %s, which reads %q, %v", s, data, got, err)
		}
	})
}

// FuzzBytes: any JSON is refused, or is read as bytes that are written and read unchanged.
func FuzzBytes(f *testing.F) {
	for _, s := range []string{"null", "[]", "[1,255,0]", "[256]", "[-1]", "[1e1]", `"AA=="`, "[1,[2]]", "{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b, again Bytes
		if json.Unmarshal(data, &b) != nil {
			return
		}
		out, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &again); err != nil || string(again) != string(b) {
			t.Fatalf("%s: %v, then %s: %v, %v", data, b, out, again, err)
		}
	})
}
