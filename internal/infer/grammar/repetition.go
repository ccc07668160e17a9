package grammar

import (
	"math/bits"
	"slices"
)

// said is what an answer has said so far in an array whose strings must all differ: an automaton cannot remember them.
// It is a value: what follows from it is another one.
type said struct {
	items   []string
	open    string // the string under way, as it is written
	quoted  bool
	escaped bool
}

// then gives what is said with one more byte of the array. repeats says that a string ends that was there before.
// Strings that must differ are written in one way only, so equal ones look alike.
func (h said) then(c byte) (next said, repeats bool) {
	switch {
	case !h.quoted && c != '"':
		return h, false
	case !h.quoted:
		h.quoted, h.open = true, ""
		return h, false
	case h.escaped:
		h.escaped = false
	case c == '\\':
		h.escaped = true
	case c == '"':
		if slices.Contains(h.items, h.open) {
			return h, true
		}
		return said{items: append(slices.Clip(h.items), h.open)}, false
	}
	h.open += string([]byte{c})
	return h, false
}

// remember goes along a text from a state, and keeps what it says where strings must differ. Where it repeats one, the
// state is dead.
func (g *Grammar) remember(s *state, text []byte, h said) (*state, said, error) {
	for _, c := range text {
		inside := s.distinct
		to, err := g.m.step(s, g.m.class[c])
		if err != nil || to == g.m.dead {
			return to, h, err
		}
		switch {
		case !to.distinct:
			h = said{}
		case inside:
			var repeats bool
			if h, repeats = h.then(c); repeats {
				return g.m.dead, h, nil
			}
		}
		s = to
	}
	return s, h, nil
}

// withoutRepetition takes tokens off a mask that would repeat a string.
func (g *Grammar) withoutRepetition(mask *Mask, s *state, h said) (*Mask, error) {
	if !s.distinct {
		return mask, nil
	}
	out := &Mask{Bits: slices.Clone(mask.Bits), Count: mask.Count}
	for i, word := range g.w.v.quotes {
		for word &= mask.Bits[i]; word != 0; word &= word - 1 {
			bit := bits.TrailingZeros64(word)
			to, _, err := g.remember(s, g.w.v.texts[i*64+bit], h)
			if err != nil {
				return nil, err
			}
			if to == g.m.dead {
				out.Bits[i] &^= 1 << bit
				out.Count--
			}
		}
	}
	return out, nil
}

// plainChar is a character of a JSON string as it is always written: with an escape only where it needs one.
var plainChar = func() *expr {
	subs := []*expr{runes(plainRunes...)}
	for _, r := range otherRunes(plainRunes) {
		for c := r.lo; c <= min(r.hi, 0x7F); c++ {
			subs = append(subs, text(quotedByte(byte(c))))
		}
	}
	return alt(subs...)
}()

// distinctStrings gives the texts of arrays of which no two strings are equal, where items are strings without an end
// to their length; nil where they are others.
func (s *schemas) distinctStrings(c *constraint, most int) (*expr, error) {
	list, err := s.expand(c.items)
	if err != nil || len(list) != 1 || len(c.items) == 0 {
		return nil, err
	}
	x := list[0]
	if x.kinds != kindString || x.values != nil || x.maxLen >= 0 || len(x.patterns)+len(x.formats)+len(x.notIn)+
		len(x.notPatterns) > 0 {
		return nil, nil
	}
	item := stringOf(repeat(plainChar, x.minLen, -1))
	more := -1
	if most >= 0 {
		more = most - 1
	}
	array := brackets(seq(item, repeat(seq(text(","), blank, item), max(c.minItems-1, 0), more)), c.minItems == 0)
	rule := s.add("strings that differ")
	s.bodies[rule] = array
	return &expr{op: opRule, rule: rule, distinct: true}, nil
}
