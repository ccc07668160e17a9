package token

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzEncodeDecode(f *testing.F) {
	for _, s := range []string{"", " ", "a", "hello world", "<s>[INST] x [/INST]</s>", "▁▁ x", "\x00\xff\xfe", "日本語 😀\n\n\t", "\xe2\x96", "  a  b  ", "<0x41>"} {
		f.Add(s)
	}
	tok := mustNew(f, Synthetic(700, 1))
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.Encode(text, true)
		var raw []byte
		for i, id := range ids {
			if i > 0 && (tok.IsControl(id) || id == 0) {
				t.Fatalf("Encode(%q) has special %d", text, id)
			}
			raw = append(raw, tok.Piece(id)...)
		}
		if text != "" && string(raw) != " "+text {
			t.Fatalf("the pieces of %q add up to %q", text, raw)
		}
		if got, want := tok.Decode(ids), string([]rune(text)); got != want {
			t.Fatalf("Decode(Encode(%q)) = %q, want %q", text, got, want)
		}
	})
}

// FuzzDecoderSplits: each byte of data is an id; the text must be the one of all bytes at once, however it comes.
func FuzzDecoderSplits(f *testing.F) {
	for _, s := range []string{"", "abc", "€", "\xe2\x82", "\xf0\x9f\x98\x80x", "\xff\xc3\xa9\xe2", " a", "\xed\xa0\x80", "\xc0\x80"} {
		f.Add([]byte(s))
	}
	tok := mustNew(f, Synthetic(300, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := tok.NewContinuation()
		var text strings.Builder
		for i, b := range data {
			part := d.Write(3 + int32(b))
			if !utf8.ValidString(part) {
				t.Fatalf("step %d of %q gives %q", i, data, part)
			}
			if len(d.pending) >= utf8.UTFMax {
				t.Fatalf("%d bytes wait after step %d of %q", len(d.pending), i, data)
			}
			text.WriteString(part)
		}
		text.WriteString(d.Flush())
		if got, want := text.String(), string([]rune(string(data))); got != want {
			t.Fatalf("%q decodes to %q, want %q", data, got, want)
		}
	})
}
