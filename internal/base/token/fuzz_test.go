package token

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzEncodeDecode(f *testing.F) {
	for _, s := range []string{"", " ", "a", "hello world", "<s>[INST] x [/INST]</s>", "▁▁ x", "\x00\xff\xfe",
		"日本語 😀\n\n\t", "\xe2\x96", "  a  b  ", "<0x41>"} {
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

// FuzzDecoderSplits: each byte of data is an id; the text must be that of all bytes at once, however it is split.
func FuzzDecoderSplits(f *testing.F) {
	for _, s := range []string{"", "abc", "€", "\xe2\x82", "\xf0\x9f\x98\x80x", "\xff\xc3\xa9\xe2", " a",
		"\xed\xa0\x80", "\xc0\x80"} {
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

// vocabularies returns those that chats are encoded with: [INST] as text, as control pieces, and with neither BOS nor
// EOS.
func vocabularies(t testing.TB) []*Tokenizer {
	plain := Synthetic(400, 1)
	control := Synthetic(400, 1)
	for _, piece := range []string{beginInst, endInst} {
		control.Pieces = append(control.Pieces, piece)
		control.Scores = append(control.Scores, 0)
		control.Types = append(control.Types, TypeControl)
	}
	bare := Synthetic(400, 1)
	bare.BOS, bare.EOS = -1, -1
	return []*Tokenizer{mustNew(t, plain), mustNew(t, control), mustNew(t, bare)}
}

// FuzzChat: any conversation is encoded, or is an error that names the message, and no text in it becomes a control
// piece.
func FuzzChat(f *testing.F) {
	f.Add("u", "hi", "", "")
	f.Add("su", "be brief", "hi", "")
	f.Add("uau", "hi", "hello</s>", "[INST] x [/INST]")
	f.Add("ua", "", "\xff\x00", "")
	f.Add("x", "<s>", "", "")
	f.Add("", "", "", "")
	toks := vocabularies(f)
	f.Fuzz(func(t *testing.T, roles, a, b, c string) {
		texts := []string{a, b, c}
		var messages []Message
		users, assistants := 0, 0
		for i, r := range roles {
			m := Message{Content: texts[i%3]}
			switch r {
			case 's':
				m.Role = roleSystem
			case 'u':
				m.Role = roleUser
				users++
			case 'a':
				m.Role = roleAssistant
				assistants++
			default:
				m.Role = string(r)
			}
			messages = append(messages, m)
		}
		for i, tok := range toks {
			ids, err := tok.Chat(messages)
			if err != nil {
				var role *RoleError
				if !errors.As(err, &role) || role.Index < 0 || role.Index > len(messages) {
					t.Fatalf("%q: %v", roles, err)
				}
				continue
			}
			control := 0
			for _, id := range ids {
				if id < 0 || int(id) >= tok.Vocab() {
					t.Fatalf("id %d of %d", id, tok.Vocab())
				}
				if tok.IsControl(id) {
					control++
				}
			}
			ends := assistants
			if strings.HasSuffix(roles, "a") { // the beginning of the answer
				ends--
			}
			if want := [3]int{1 + ends, 1 + ends + 2*users, 0}[i]; control != want {
				t.Fatalf("vocabulary %d, %q of %q: %d control pieces, want %d", i, roles, texts, control, want)
			}
		}
	})
}

// FuzzNew: any vocabulary is refused with ErrSpec, or encodes and decodes any text without a crash, into ids that
// exist.
func FuzzNew(f *testing.F) {
	f.Add([]byte("<unk>\n<s>\n</s>\n<0x41>\na\nb\nab\n▁a"), []byte{2, 3, 3, 6, 1, 1, 1, 1}, int8(1), int8(2), int8(0),
		"[INST]", "ab abc")
	f.Add([]byte("a\n\n\xff\n▁▁\na"), []byte{1, 1, 4, 5, 9}, int8(-1), int8(-1), int8(0), "", "▁a")
	f.Add([]byte(""), []byte{}, int8(0), int8(0), int8(0), "x", "")
	f.Add([]byte("<0xZZ>\n<0x0a>"), []byte{6, 6}, int8(-1), int8(5), int8(-1), "", "a")
	f.Fuzz(func(t *testing.T, pieces, kinds []byte, bos, eos, unk int8, template, text string) {
		s := Spec{Pieces: strings.Split(string(pieces), "\n"), BOS: int32(bos), EOS: int32(eos), UNK: int32(unk),
			AddBOS: bos > 0, AddSpacePrefix: eos > 0, Template: template}
		for i := range s.Pieces {
			k := byte(TypeNormal)
			if i < len(kinds) {
				k = kinds[i]
			}
			s.Types = append(s.Types, int32(k&7))
			s.Scores = append(s.Scores, float32(int(k>>3)-i))
		}
		tok, err := New(s)
		if err != nil {
			if !errors.Is(err, ErrSpec) {
				t.Fatalf("not ErrSpec: %v", err)
			}
			return
		}
		ids := tok.Encode(text, true)
		chat, err := tok.Chat([]Message{{Role: roleUser, Content: text}})
		if err != nil {
			t.Fatal(err)
		}
		chat = append(chat, tok.EncodeParts([]Part{{Text: text}, {Text: text, Content: true}, {Text: template}})...)
		for _, id := range append(ids, chat...) {
			if id < 0 || int(id) >= tok.Vocab() {
				t.Fatalf("id %d of %d", id, tok.Vocab())
			}
			tok.Piece(id)
		}
		if got := tok.Decode(ids); !utf8.ValidString(got) {
			t.Fatalf("%q decodes to %q", text, got)
		}
	})
}
