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

// sort puts longer texts before their beginnings; of two that are equal the first id wins.
func (m *matcher) sort() {
	for _, all := range m.first {
		sort.SliceStable(all, func(i, j int) bool { return len(all[i].text) > len(all[j].text) })
	}
}

// at gives the longest piece that text begins with, and its length; 0 if there is none.
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

// EncodeSpecial is Encode for a text in which spellings of control pieces, such as "</s>", mean these.
func (t *Tokenizer) EncodeSpecial(text string, addBOS bool) []int32 {
	ids := t.Encode("", addBOS)
	return t.appendParts(ids, []Part{{Text: text}})
}

// EncodeParts encodes a conversation that a chat template has rendered. Spellings of control pieces are those in what
// the template says, and text like any other in what comes from users. What is between two control pieces is one run
// of text, whoever said it. BOS goes before it all where the vocabulary wants one and the template gives none.
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
