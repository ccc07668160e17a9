package token

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Flags say how the spelling of an added piece is found in a text, as AddedToken of Hugging Face's tokenizers does.
// Most pieces have none: GGUF has no keys for them.
type Flags struct {
	LStrip, RStrip bool // the piece takes the white space before it, or after it, with it
	SingleWord     bool // the piece is found only where it is not part of a word
	// Normalized pieces are searched for after all others, in the normalized text. Spaces are "▁" there, and the text
	// already begins with the "▁" that the tokenizer adds, unless Metaspace adds it. Control pieces are not searched
	// for in normalized text.
	Normalized bool
}

// span is a stretch of text, with the piece that was found there, or −1.
type span struct {
	start, end int
	id         int32
}

// splitter finds added pieces in text.
type splitter struct {
	t      *Tokenizer
	spaces bool // ' ' is white space, and does not stand for "▁"
	find   func(at int) (id int32, n int)
}

// split cuts a text at the pieces that find returns, from left to right. It skips the whole of a piece that SingleWord
// rules out.
func (s splitter) split(text string) (all []span) {
	begin := 0 // of the text that belongs to no piece
	for at := 0; at < len(text); {
		id, n := s.find(at)
		if n == 0 {
			at++
			continue
		}
		start, end := at, at+n
		at = end
		flags := s.t.spec.Flags[id]
		if start < begin || flags.SingleWord && (endsInWord(text[:start]) || beginsWithWord(text[end:])) {
			continue
		}
		if flags.LStrip {
			start = max(begin, len(strings.TrimRightFunc(text[:start], s.white)))
		}
		if flags.RStrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], s.white))
		}
		if begin < start {
			all = append(all, span{begin, start, -1})
		}
		all = append(all, span{start, end, id})
		begin = end
	}
	if begin < len(text) {
		all = append(all, span{begin, len(text), -1})
	}
	return all
}

func (s splitter) white(r rune) bool { return unicode.IsSpace(r) && (s.spaces || r != ' ') }

func endsInWord(text string) bool {
	r, _ := utf8.DecodeLastRuneInString(text)
	return text != "" && wordRune(r)
}

func beginsWithWord(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return text != "" && wordRune(r)
}

// wordRune is \w of Unicode's regular expressions (UTS #18, annex C).
func wordRune(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc,
		unicode.Join_Control)
}

// encodeParts appends the ids of the text that template and users wrote together. before is the prefix of that text.
func (m *merger) encodeParts(parts []Part, before prefix) []int32 {
	t := m.t
	whole, ends := join(parts)
	part := 0
	find := splitter{t: t, spaces: true, find: func(at int) (id int32, n int) {
		for ends[part] <= at {
			part++
		}
		id, n = t.added.at(whole[at:])
		if !parts[part].Content { // only the template writes control pieces, each within one part
			if c, k := t.control.at(whole[at:ends[part]]); k > n {
				return c, k
			}
		}
		return id, n
	}}
	if !t.added.any && !t.control.any {
		m.between(whole, before)
		return m.ids
	}
	for _, s := range find.split(whole) {
		if s.id >= 0 {
			m.ids = append(m.ids, s.id)
			continue
		}
		if s.start > 0 {
			before = t.prefix(false)
		}
		m.between(whole[s.start:s.end], before)
	}
	return m.ids
}

// join returns the text of all parts and the end of each. It does not copy the text of a single part.
func join(parts []Part) (whole string, ends []int) {
	if len(parts) == 1 {
		return parts[0].Text, []int{len(parts[0].Text)}
	}
	var text strings.Builder
	for _, p := range parts {
		text.WriteString(p.Text)
		ends = append(ends, text.Len())
	}
	return text.String(), ends
}

// between appends the ids of text between the pieces found so far. It searches that text for normalized pieces.
func (m *merger) between(text string, before prefix) {
	t := m.t
	pieces := t.normalized
	metaspace := t.spec.Metaspace != ""
	switch {
	case text == "":
		return
	case !pieces.any:
		m.run(before.put(text))
		return
	case !metaspace: // the prefix is part of the text in which pieces are found
		text = before.put(text)
	}
	find := splitter{t: t, spaces: metaspace, find: func(at int) (int32, int) { return pieces.at(text[at:]) }}
	for _, s := range find.split(text) {
		switch {
		case s.id >= 0:
			m.ids = append(m.ids, s.id)
		case !metaspace:
			m.run(text[s.start:s.end])
		case s.start > 0:
			m.run(t.prefix(false).put(text[s.start:s.end]))
		default:
			m.run(before.put(text[s.start:s.end]))
		}
	}
}

// put returns the text with its prefix.
func (p prefix) put(text string) string {
	if p == space || p == oneSpace && !strings.HasPrefix(text, " ") {
		return " " + text
	}
	return text
}

// flagKeys are the metadata keys that this program adds to a GGUF file for Flags: each lists ids. GGUF defines none.
var flagKeys = []struct {
	key string
	of  func(*Flags) *bool
}{
	{"mixtral.tokenizer.lstrip", func(f *Flags) *bool { return &f.LStrip }},
	{"mixtral.tokenizer.rstrip", func(f *Flags) *bool { return &f.RStrip }},
	{"mixtral.tokenizer.single_word", func(f *Flags) *bool { return &f.SingleWord }},
	{"mixtral.tokenizer.normalized", func(f *Flags) *bool { return &f.Normalized }},
}

// FlagLists returns Flags as metadata keys and the ids that each lists.
func (s *Spec) FlagLists() map[string][]int32 {
	lists := map[string][]int32{}
	for _, k := range flagKeys {
		for _, id := range slices.Sorted(maps.Keys(s.Flags)) {
			if f := s.Flags[id]; *k.of(&f) {
				lists[k.key] = append(lists[k.key], id)
			}
		}
	}
	return lists
}

// SetFlags reads Flags from a file. get returns the ids that a key lists, or nil if the file has no such key.
func (s *Spec) SetFlags(get func(key string) ([]int32, error)) error {
	for _, k := range flagKeys {
		ids, err := get(k.key)
		if err != nil {
			return err
		}
		for _, id := range ids {
			f := s.Flags[id]
			*k.of(&f) = true
			s.SetFlag(id, f)
		}
	}
	return nil
}

// SetFlag sets the flags of an id.
func (s *Spec) SetFlag(id int32, f Flags) {
	if s.Flags == nil {
		s.Flags = map[int32]Flags{}
	}
	if s.Flags[id] = f; f == (Flags{}) {
		delete(s.Flags, id)
	}
}
