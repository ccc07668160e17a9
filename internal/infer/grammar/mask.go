package grammar

import "math/bits"

// Mask says which tokens may come next. It must not be changed.
type Mask struct {
	Bits  []uint64 // bit id%64 of word id/64
	Count int      // of bits that are set
}

// Has says whether a token may come.
func (m *Mask) Has(id int32) bool {
	return id >= 0 && int(id)/64 < len(m.Bits) && m.Bits[id/64]>>(id%64)&1 == 1
}

// walker finds masks.
type walker struct {
	m     *automaton
	v     *Vocabulary
	bits  []uint64
	path  []*state // by depth in the tree
	plain [][]byteRange
}

func newWalker(m *automaton, v *Vocabulary) *walker {
	w := &walker{m: m, v: v, path: make([]*state, v.longest+1)}
	for _, r := range plainRunes {
		utf8Sequences(r.lo, r.hi, func(seq []byteRange) { w.plain = append(w.plain, seq) })
	}
	return w
}

// mask gives the tokens that may follow a state.
func (w *walker) mask(s *state) (*Mask, error) {
	if s.allowed != nil {
		return s.allowed, nil
	}
	short := w.m.clipped(s, int32(w.v.longest)+1)
	if short.allowed != nil {
		s.allowed = short.allowed
		return s.allowed, nil
	}
	w.m.work = 0
	free := short.free
	if free == 0 && len(short.places) > 0 {
		loops, err := w.loops(short)
		if err != nil {
			return nil, err
		}
		if loops {
			free = freeAlways
		}
	}
	t := w.v.all
	w.bits = make([]uint64, w.v.words())
	if free > 0 {
		copy(w.bits, w.v.plain[min(int(free), len(w.v.plain)-1)])
		t = w.v.odd
	}
	if err := w.walk(t, short); err != nil {
		return nil, err
	}
	s.allowed = w.finish(short)
	short.allowed = s.allowed
	return s.allowed, nil
}

// startMask is the mask for the first token of an answer, of which a space in front is dropped.
func (w *walker) startMask(s *state) (*Mask, error) {
	if s.atStart != nil {
		return s.atStart, nil
	}
	w.m.work = 0
	w.bits = make([]uint64, w.v.words())
	t, blank := w.v.atStart()
	for _, id := range blank {
		w.bits[id/64] |= 1 << (id % 64)
	}
	if err := w.walk(t, s); err != nil {
		return nil, err
	}
	s.atStart = w.finish(s)
	return s.atStart, nil
}

func (w *walker) finish(s *state) *Mask {
	if s.accept {
		for _, id := range w.v.ends {
			w.bits[id/64] |= 1 << (id % 64)
		}
	}
	mask := &Mask{Bits: w.bits}
	for _, word := range w.bits {
		mask.Count += bits.OnesCount64(word)
	}
	w.m.kept += 8 * len(w.bits)
	return mask
}

// walk sets the bits of all tokens of a tree that may follow a state.
func (w *walker) walk(t *tree, s *state) error {
	w.path[0] = s
	nodes, class, dead := t.nodes, &w.m.class, w.m.dead
	for i := int32(0); int(i) < len(nodes); {
		n := &nodes[i]
		from := w.path[n.depth-1]
		c := class[n.b]
		to := from.next[c]
		if to == nil {
			var err error
			if to, err = w.step(from, c); err != nil {
				return err
			}
		}
		if to == dead {
			i = n.skip
			continue
		}
		w.path[n.depth] = to
		for _, id := range t.ids[n.lo:n.hi] {
			w.bits[id/64] |= 1 << (id % 64)
		}
		i++
	}
	return nil
}

func (w *walker) step(from *state, class uint8) (*state, error) {
	if w.m.work > maxWork {
		return nil, tooCostly("the tokens that may come next cannot be found within %d steps", maxWork)
	}
	return w.m.step(from, class)
}

// loops says whether a state comes back to itself with every character that stands for itself in a JSON string.
func (w *walker) loops(s *state) (bool, error) {
	for _, seq := range w.plain {
		if ok, err := w.leads(s, seq, s); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (w *walker) leads(from *state, seq []byteRange, goal *state) (bool, error) {
	if len(seq) == 0 {
		return from == goal, nil
	}
	last := w.m.class[seq[0].hi]
	for c := w.m.class[seq[0].lo]; ; c++ {
		to := from.next[c]
		if to == nil {
			var err error
			if to, err = w.step(from, c); err != nil {
				return false, err
			}
		}
		if to == w.m.dead || len(seq) == 1 && to != goal {
			return false, nil
		}
		if len(seq) > 1 {
			if ok, err := w.leads(to, seq[1:], goal); !ok || err != nil {
				return false, err
			}
		}
		if c == last {
			return true, nil
		}
	}
}

// crosses says whether a token begins with text and goes on with what may follow a state.
func (w *walker) crosses(text []byte, s *state) (bool, error) {
	at := w.v.all.find(text)
	if at < 0 {
		return false, nil
	}
	nodes := w.v.all.nodes
	base := nodes[at].depth
	path := append(make([]*state, 0, 8), s)
	for i := int32(at) + 1; i < nodes[at].skip; {
		n := &nodes[i]
		depth := int(n.depth - base)
		to, err := w.step(path[depth-1], w.m.class[n.b])
		if err != nil {
			return false, err
		}
		if to == w.m.dead {
			i = n.skip
			continue
		}
		if n.hi > n.lo {
			return true, nil
		}
		path = append(path[:depth], to)
		i++
	}
	return false, nil
}
