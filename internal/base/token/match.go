package token

import (
	"sort"
	"strings"
)

// matcher finds pieces at the beginning of a text, the longest first.
type matcher struct {
	first [256][]spelled // by first byte
	any   bool
}

type spelled struct {
	text string
	id   int32
}

func (m *matcher) add(s string, id int32) {
	if s != "" {
		m.first[s[0]] = append(m.first[s[0]], spelled{s, id})
		m.any = true
	}
}

// sort puts a longer text before the texts that it begins with; of two equal texts the lower id comes first.
func (m *matcher) sort() {
	for _, all := range m.first {
		sort.SliceStable(all, func(i, j int) bool { return len(all[i].text) > len(all[j].text) })
	}
}

// at returns the longest piece that text begins with, and its length; 0 if there is none.
func (m *matcher) at(text string) (id int32, n int) {
	if !m.any || text == "" {
		return 0, 0
	}
	for _, p := range m.first[text[0]] {
		if strings.HasPrefix(text, p.text) {
			return p.id, len(p.text)
		}
	}
	return 0, 0
}

// Part is a stretch of text for EncodeParts.
type Part struct {
	Text    string
	Content bool // from a user: it never becomes a control token
}

// EncodeSpecial is Encode for a text in which the spelling of a control piece, such as "</s>", means that piece.
func (t *Tokenizer) EncodeSpecial(text string, addBOS bool) []int32 {
	ids := t.Encode("", addBOS)
	return t.appendParts(ids, []Part{{Text: text}})
}

// Prompt returns the ids of a raw prompt with all that the vocabulary puts around one: BOS, and EOS if the vocabulary
// adds that, too. With special, spellings of control pieces mean these, as in EncodeSpecial.
func (t *Tokenizer) Prompt(text string, special bool) []int32 {
	encode := t.Encode
	if special {
		encode = t.EncodeSpecial
	}
	ids := encode(text, true)
	if t.spec.AddEOS && t.spec.EOS >= 0 {
		ids = append(ids, t.spec.EOS)
	}
	return ids
}

// EncodeParts encodes a conversation that a chat template has rendered. Spellings of control pieces count in the
// template's own text, and are ordinary text in what comes from users. The text between two control pieces is one run,
// whatever its source. BOS is added at the beginning if the vocabulary uses it and the template does not write it.
func (t *Tokenizer) EncodeParts(parts []Part) []int32 {
	ids := t.appendParts(nil, parts)
	if t.spec.AddBOS && t.spec.BOS >= 0 && (len(ids) == 0 || ids[0] != t.spec.BOS) {
		ids = append([]int32{t.spec.BOS}, ids...)
	}
	return ids
}

func (t *Tokenizer) appendParts(ids []int32, parts []Part) []int32 {
	return (&merger{t: t, ids: ids}).encodeParts(parts, t.prefix(true))
}
