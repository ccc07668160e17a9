package grammar

import (
	"math/bits"
	"slices"
	"strings"
)

// said is what an answer has said so far in an array whose items must all differ: an automaton cannot remember them.
// Such items are written in one way only, so that equal ones have equal texts. It is a value: what follows from it is
// another one.
type said struct {
	items  []string // in order
	fresh  []string // those that have ended in the token under way
	open   string   // the item under way, as far as it was written by tokens before
	more   []byte   // the rest of it, in the token under way
	inside bool     // the array has begun
	comma  bool     // an item must come
	nested int      // brackets and braces that are open in the item
	quoted bool
	escape bool
	// the calls that the array began in. An array that alternatives take for such a one at another depth is not
	// followed: texts that are only theirs are not made.
	roots []*frame
	age   int // of roots
}

// then gives what is said with the byte text[i] of the array. repeats says that an item has ended that was there
// before.
func (h said) then(text []byte, i int) (next said, repeats bool) {
	c, between := text[i], h.open == "" && len(h.more) == 0
	switch {
	case !h.inside:
		h.inside = c == '['
	case between && c == ',':
		h.comma = true
	case between && isDelimiter(c):
	case !between && h.nested == 0 && !h.quoted && isDelimiter(c):
		if h.rests().ends() {
			return h, true
		}
		h.fresh = append(slices.Clip(h.fresh), h.open+string(h.more))
		h.open, h.more, h.comma = "", nil, c == ','
	default:
		h.more = text[i-len(h.more) : i+1]
		h.follow(c)
	}
	return h, false
}

// isDelimiter tells what may stand before or behind an item.
func isDelimiter(c byte) bool { return c == ',' || c == ']' || c == ' ' || c == '\n' }

// follow goes on with the item under way.
func (h *said) follow(c byte) {
	switch {
	case h.escape:
		h.escape = false
	case h.quoted && c == '\\':
		h.escape = true
	case c == '"':
		h.quoted = !h.quoted
	case h.quoted:
	case c == '[' || c == '{':
		h.nested++
	case c == ']' || c == '}':
		h.nested--
	}
}

// settled gives what is said when a token has ended.
func (h said) settled() said {
	h.open, h.more = h.open+string(h.more), nil
	if len(h.fresh) > 0 {
		h.items = slices.Concat(h.items, h.fresh)
		slices.Sort(h.items)
		h.fresh = nil
	}
	return h
}

// rests are what follows a beginning in texts. There may be thousands of them.
type rests struct {
	list []string // in order; the beginning has skip bytes
	skip int
	few  []string // of other texts, without the beginning
}

// rests gives what follows the item under way in those that begin with it.
func (h said) rests() rests {
	begin := h.open + string(h.more)
	from, _ := slices.BinarySearch(h.items, begin)
	n := 0
	if begin == "" {
		n = len(h.items)
	} else {
		n, _ = slices.BinarySearchFunc(h.items[from:], begin, func(item, begin string) int {
			return strings.Compare(item[:min(len(item), len(begin))], begin) - 1 // behind all that begin so
		})
	}
	r := rests{list: h.items[from : from+n], skip: len(begin)}
	for _, item := range h.fresh {
		if rest, ok := strings.CutPrefix(item, begin); ok {
			r.few = append(r.few, rest)
		}
	}
	return r
}

func (r rests) none() bool { return len(r.list)+len(r.few) == 0 }

// ends says whether a text ends here.
func (r rests) ends() bool {
	return len(r.list) > 0 && len(r.list[0]) == r.skip || slices.Contains(r.few, "")
}

// behind gives what follows another byte.
func (r rests) behind(c byte) rests {
	find := func(c int) int {
		n, _ := slices.BinarySearchFunc(r.list, c, func(text string, c int) int {
			if len(text) == r.skip {
				return -1
			}
			return int(text[r.skip]) - c
		})
		return n
	}
	out := rests{list: r.list[find(int(c)):find(int(c)+1)], skip: r.skip + 1}
	for _, t := range r.few {
		if t != "" && t[0] == c {
			out.few = append(out.few, t[1:])
		}
	}
	return out
}

// remember goes along a text from a state, and keeps what it says where items must differ. Where it repeats one, or
// could go on only by repeating one, the state is dead.
func (g *Grammar) remember(s *state, text []byte, h said) (*state, said, error) {
	if !g.m.distinct {
		s, err := g.follow(s, text)
		return s, said{}, err
	}
	if h.age != g.m.age {
		h.roots, h.age = slices.Clone(h.roots), g.m.age
		for i, f := range h.roots {
			h.roots[i] = g.m.again(f)
		}
	}
	if s.distinct && h.roots == nil {
		h.roots = g.m.roots(s)
	}
	for i, c := range text {
		from, followed := s, s.distinct
		if followed {
			var repeats bool
			if h, repeats = h.then(text, i); repeats {
				if from = g.m.outside(s); from == g.m.dead {
					return from, h, nil
				}
			}
		}
		to, err := g.m.step(from, g.m.class[c])
		if err != nil || to == g.m.dead {
			return to, h, err
		}
		switch {
		case !to.distinct:
			h = said{age: g.m.age}
		case !followed || from != s:
			h = said{age: g.m.age, roots: g.m.roots(to)}
		default:
			to = g.m.within(to, h.roots)
		}
		s = to
	}
	ok, err := g.canDiffer(s, h)
	if !ok || err != nil {
		return g.m.dead, h, err
	}
	return s, h, nil
}

// roots gives the outermost calls in which items must differ.
func (m *automaton) roots(s *state) []*frame {
	if s.roots == nil {
		for _, p := range s.places {
			if f := m.rootOf(p); f != nil && !slices.Contains(s.roots, f) {
				s.roots = append(s.roots, f)
			}
		}
	}
	return s.roots
}

// rootOf gives the outermost call around a place in which items must differ; nil where there is none.
func (m *automaton) rootOf(p place) (root *frame) {
	for f := p.stack; f != nil; f = f.up {
		if m.nodes[f.node].distinct {
			root = f
		}
	}
	return root
}

// outside gives the state without the places where items must differ.
func (m *automaton) outside(s *state) *state {
	if s.outside == nil {
		s.outside = m.keep(s, nil)
	}
	return s.outside
}

// within gives the state without the places where items must differ in other calls than these.
func (m *automaton) within(s *state, roots []*frame) *state {
	for _, f := range m.roots(s) {
		if !slices.Contains(roots, f) {
			return m.keep(s, roots)
		}
	}
	return s
}

func (m *automaton) keep(s *state, roots []*frame) *state {
	m.begin()
	m.accept = s.accept
	for _, p := range s.places {
		if f := m.rootOf(p); f == nil || slices.Contains(roots, f) {
			m.places = append(m.places, p)
		}
	}
	return m.settle()
}

// canDiffer says whether a text can go on so that the item under way, or the one that must come, is a new one. That
// there are enough different ones for the array as a whole was seen when the schema was compiled.
func (g *Grammar) canDiffer(s *state, h said) (bool, error) {
	first := h.open == "" && len(h.more) == 0
	if !s.distinct || first && !h.comma {
		return true, nil
	}
	rests := h.rests()
	if rests.none() || g.m.outside(s) != g.m.dead {
		return true, nil
	}
	return g.differs(s, rests, first)
}

// differs says whether an item can go on, or end, in another way than rests. Whatever a state lets grow can be
// finished, so one byte that none of them has is enough.
func (g *Grammar) differs(s *state, rests rests, first bool) (bool, error) {
	ends := rests.ends()
	for class := range g.m.classes {
		if g.m.work++; g.m.work > maxWork {
			return false, tooCostly("whether another item is possible cannot be found within %d steps", maxWork)
		}
		to, err := g.m.step(s, uint8(class))
		if err != nil {
			return false, err
		}
		if to == g.m.dead {
			continue
		}
		last := 255
		if class+1 < g.m.classes {
			last = int(g.m.first[class+1]) - 1
		}
		for b := int(g.m.first[class]); b <= last; b++ {
			c := byte(b)
			if ends && isDelimiter(c) || first && (c == ' ' || c == '\n') {
				continue
			}
			more := rests.behind(c)
			if more.none() {
				return true, nil
			}
			if ok, err := g.differs(to, more, false); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

// withoutRepetition takes tokens off a mask that would repeat an item, or come to where only a repetition can follow.
// Those may be tokens along an item that is there, and tokens with a comma or a bracket.
func (g *Grammar) withoutRepetition(mask *Mask, s *state, h said, strip bool) (*Mask, error) {
	if !g.m.distinct {
		return mask, nil
	}
	g.m.work = 0
	v := g.w.v
	suspects := v.opening
	if s.distinct {
		suspects = slices.Clone(v.parting)
		if rests := h.rests(); !rests.none() {
			v.all.along(0, len(v.all.nodes), rests, h.open == "", suspects)
		}
	}
	out := mask
	for i, word := range suspects {
		for word &= mask.Bits[i]; word != 0; word &= word - 1 {
			bit := bits.TrailingZeros64(word)
			text := v.texts[i*64+bit]
			if strip && text != nil && text[0] == ' ' {
				text = text[1:]
			}
			to, _, err := g.remember(s, text, h)
			if err != nil {
				return nil, err
			}
			if to == g.m.dead && len(text) > 0 {
				if out == mask {
					out = &Mask{Bits: slices.Clone(mask.Bits), Count: mask.Count}
				}
				out.Bits[i] &^= 1 << bit
				out.Count--
			}
		}
	}
	return out, nil
}

// along adds to a set the tokens of a part of the tree that begin one of some texts, or begin with one. Blanks may
// come first where first says so.
func (t *tree) along(from, to int, texts rests, first bool, set []uint64) {
	add := func(lo, hi int32) {
		for _, id := range t.ids[lo:hi] {
			set[id/64] |= 1 << (id % 64)
		}
	}
	ends := texts.ends()
	for from < to {
		n := &t.nodes[from]
		next := int(n.skip)
		more := texts.behind(n.b)
		switch {
		case ends && isDelimiter(n.b), more.ends(): // one ends here: all that goes on from here
			last := int32(len(t.ids))
			if next < len(t.nodes) {
				last = t.nodes[next].lo
			}
			add(n.lo, last)
		case !more.none():
			add(n.lo, n.hi)
			t.along(from+1, next, more, false, set)
		case first && (n.b == ' ' || n.b == '\n'):
			add(n.lo, n.hi)
			t.along(from+1, next, texts, true, set)
		}
		from = next
	}
}
