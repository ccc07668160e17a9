package grammar

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// expr is a language: what a front end makes of a piece of its source. Expressions are immutable and may be shared.
type expr struct {
	op       op
	text     string      // opText
	runes    []runeRange // opRunes, in order, apart
	subs     []*expr     // opSeq, opAlt; the body of opRepeat
	min, max int         // opRepeat; max is unbounded if negative
	rule     int         // opRule
	distinct bool        // opRule: an array whose items must all differ
	auto     *dfa        // opDFA
	quoted   bool        // opDFA: the automaton is over the content of a JSON string, the text has its escapes
	marked   bool        // opDFA: edges for the marks of anchors need no byte
}

type op uint8

const (
	opText   op = iota // these bytes; the empty text too
	opRunes            // one character of these
	opSeq              // one after the other
	opAlt              // one of these; none of none
	opRepeat           // a number of times
	opRule             // whatever a rule says
	opDFA              // a regular language
)

type runeRange struct{ lo, hi rune }

var empty = &expr{op: opText}

// nothing is the language without any text.
var nothing = &expr{op: opAlt}

func text(s string) *expr { return &expr{op: opText, text: s} }

func ref(rule int) *expr { return &expr{op: opRule, rule: rule} }

func seq(subs ...*expr) *expr {
	var flat []*expr
	for _, s := range subs {
		switch {
		case s.op == opText && s.text == "":
		case s.op == opSeq:
			flat = append(flat, s.subs...)
		case s.op == opText && len(flat) > 0 && flat[len(flat)-1].op == opText:
			flat[len(flat)-1] = text(flat[len(flat)-1].text + s.text)
		default:
			flat = append(flat, s)
		}
	}
	switch len(flat) {
	case 0:
		return empty
	case 1:
		return flat[0]
	}
	return &expr{op: opSeq, subs: flat}
}

func alt(subs ...*expr) *expr {
	if len(subs) == 1 {
		return subs[0]
	}
	return &expr{op: opAlt, subs: subs}
}

func optional(e *expr) *expr { return repeat(e, 0, 1) }

func star(e *expr) *expr { return repeat(e, 0, -1) }

func repeat(e *expr, lo, hi int) *expr {
	switch {
	case hi >= 0 && hi < lo:
		return nothing
	case hi == 0:
		return empty
	case lo == 1 && hi == 1:
		return e
	}
	return &expr{op: opRepeat, subs: []*expr{e}, min: lo, max: hi}
}

// runes makes a class of characters. Surrogates, which UTF-8 does not have, are left out.
func runes(ranges ...runeRange) *expr {
	return &expr{op: opRunes, runes: normalRunes(ranges)}
}

func normalRunes(ranges []runeRange) []runeRange {
	var cut []runeRange
	for _, r := range ranges {
		r.lo, r.hi = max(r.lo, 0), min(r.hi, unicode.MaxRune)
		if r.lo < 0xD800 && r.hi >= 0xD800 {
			cut = append(cut, runeRange{r.lo, 0xD7FF})
			r.lo = 0xE000
		} else if r.lo >= 0xD800 && r.lo <= 0xDFFF {
			r.lo = 0xE000
		}
		if r.hi >= 0xD800 && r.hi <= 0xDFFF {
			r.hi = 0xD7FF
		}
		if r.lo <= r.hi {
			cut = append(cut, r)
		}
	}
	slices.SortFunc(cut, func(a, b runeRange) int { return int(a.lo) - int(b.lo) })
	var out []runeRange
	for _, r := range cut {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// otherRunes is the complement of a class.
func otherRunes(ranges []runeRange) []runeRange {
	var out []runeRange
	at := rune(0)
	for _, r := range normalRunes(ranges) {
		if r.lo > at {
			out = append(out, runeRange{at, r.lo - 1})
		}
		at = r.hi + 1
	}
	return normalRunes(append(out, runeRange{at, unicode.MaxRune}))
}

// commonRunes is the intersection of two classes in normal form.
func commonRunes(a, b []runeRange) []runeRange {
	var out []runeRange
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if lo, hi := max(a[i].lo, b[j].lo), min(a[i].hi, b[j].hi); lo <= hi {
			out = append(out, runeRange{lo, hi})
		}
		if a[i].hi < b[j].hi {
			i++
		} else {
			j++
		}
	}
	return out
}

// byteRange is a stretch of bytes.
type byteRange struct{ lo, hi byte }

// utf8Sequences gives the byte sequences of the characters lo to hi: each is a list of ranges, one for each byte.
func utf8Sequences(lo, hi rune, add func(seq []byteRange)) {
	for _, last := range []rune{0x7F, 0x7FF, 0xFFFF, unicode.MaxRune} {
		if lo <= last && hi > last { // differs in length
			utf8Sequences(lo, last, add)
			utf8Sequences(last+1, hi, add)
			return
		}
	}
	if hi <= 0x7F {
		add([]byteRange{{byte(lo), byte(hi)}})
		return
	}
	for i := 1; i < utf8.UTFMax; i++ { // cut until all but a first few bytes have their whole range
		m := rune(1)<<(6*i) - 1
		if lo&^m == hi&^m {
			break
		}
		if lo&m != 0 {
			utf8Sequences(lo, lo|m, add)
			utf8Sequences((lo|m)+1, hi, add)
			return
		}
		if hi&m != m {
			utf8Sequences(lo, hi&^m-1, add)
			utf8Sequences(hi&^m, hi, add)
			return
		}
	}
	var a, b [utf8.UTFMax]byte
	n := utf8.EncodeRune(a[:], lo)
	utf8.EncodeRune(b[:], hi)
	seq := make([]byteRange, n)
	for i := range seq {
		seq[i] = byteRange{a[i], b[i]}
	}
	add(seq)
}

// plainRunes are the characters that stand for themselves in a JSON string.
var plainRunes = []runeRange{{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0xD7FF}, {0xE000, unicode.MaxRune}}

// hasPlain tells whether one character of e may be any that stands for itself in a JSON string.
func hasPlain(e *expr) bool {
	switch e.op {
	case opRunes:
		return slices.Equal(commonRunes(e.runes, plainRunes), plainRunes)
	case opAlt:
		return slices.ContainsFunc(e.subs, hasPlain)
	}
	return false
}
