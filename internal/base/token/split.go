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
	LStrip, RStrip bool // white space before or behind it belongs to it
	SingleWord     bool // it is not part of a word
	// Normalized pieces are looked for when all others were found, in the text as it is then: with "▁" for spaces, and
	// with one before it, where the tokenizer puts that without Metaspace. Control pieces are never looked for so.
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

// split cuts a text at the pieces that find finds, from left to right. One that SingleWord rules out is passed over
// whole.
func (s splitter) split(text string) (all []span) {
	begin := 0 // of what has no piece
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

// encodeParts appends the ids of what template and users wrote, in one text. before is what goes in front of it.
func (m *merger) encodeParts(parts []Part, before prefix) []int32 {
	t := m.t
	whole, ends := join(parts)
	part := 0
	find := splitter{t: t, spaces: true, find: func(at int) (id int32, n int) {
		for ends[part] <= at {
			part++
		}
		id, n = t.added.at(whole[at:])
		if !parts[part].Content { // a control piece is the template's, and lies in one part
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

// join returns the text of all parts, and where each ends. The text of a single part is not copied.
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

// between appends the ids of text that no piece was found in but normalized ones, which come now.
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
	case !metaspace: // the space is there before pieces are looked for, and they have it, too
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

// put gives the text with what goes before it.
func (p prefix) put(text string) string {
	if p == space || p == oneSpace && !strings.HasPrefix(text, " ") {
		return " " + text
	}
	return text
}

// flagKeys are the keys of Flags in a GGUF file that was converted here: each lists ids. GGUF itself has none.
var flagKeys = []struct {
	key string
	of  func(*Flags) *bool
}{
	{"mixtral.tokenizer.lstrip", func(f *Flags) *bool { return &f.LStrip }},
	{"mixtral.tokenizer.rstrip", func(f *Flags) *bool { return &f.RStrip }},
	{"mixtral.tokenizer.single_word", func(f *Flags) *bool { return &f.SingleWord }},
	{"mixtral.tokenizer.normalized", func(f *Flags) *bool { return &f.Normalized }},
}

// FlagLists gives Flags as the keys of a file and the ids that each lists.
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

// SetFlags takes Flags from a file: get gives the ids that a key lists, nil where there is no such key.
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

// SetFlag gives an id its flags.
func (s *Spec) SetFlag(id int32, f Flags) {
	if s.Flags == nil {
		s.Flags = map[int32]Flags{}
	}
	if s.Flags[id] = f; f == (Flags{}) {
		delete(s.Flags, id)
	}
}
