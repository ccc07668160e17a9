package grammar

import (
	"math"
	"slices"
)

// running is what an automaton remembers while it runs. A Grammar's lock guards it.
type running struct {
	start  *state
	dead   *state
	states map[uint64][]*state
	frames map[waiting]*frame
	kept   int // bytes, about
	age    int // how often all was forgotten
	work   int // places looked at since somebody set it to 0

	// of the closure under way
	places []place
	seen   map[place]struct{}
	accept bool
	free   int32
	fault  error
}

// place is where an automaton may be: a node of bytes, and what waits for the end of its rule.
type place struct {
	node  int32
	stack *frame
}

// frame is a call or a counted repetition that has not ended. Equal ones are the same.
type frame struct {
	waiting
	id uint32
}

type waiting struct {
	node  int32 // the nodeCall or nodeLoop
	min   int32 // a loop's: rounds that must come, with the one under way
	max   int32 // those that may come; unbounded if negative
	depth int32
	up    *frame
}

func (f *frame) number() uint32 {
	if f == nil {
		return 0
	}
	return f.id
}

func (f *frame) level() int32 {
	if f == nil {
		return 0
	}
	return f.depth
}

// state is a set of places, all that a text leads to.
type state struct {
	places   []place
	next     []*state // by class of bytes; nil: not known yet
	accept   bool     // the text may end here
	free     int32    // so many characters may follow that stand for themselves in a JSON string; all if freeAlways
	distinct bool     // within an array whose items must all differ
	forced   int16    // the only byte that may follow; forcedNone, or forcedUnknown
	age      int

	short   *state   // the state whose mask this one has too; see clipped
	outside *state   // where items need not differ; nil: not known yet
	roots   []*frame // see automaton.roots
	allowed *Mask
	atStart *Mask // where a space in front is dropped
}

const (
	freeAlways    = math.MaxInt32
	forcedNone    = -1
	forcedUnknown = -2
)

// What states take, roughly, in bytes.
const (
	stateBytes = 200
	frameBytes = 128
	placeBytes = 16
)

// reset forgets all states and makes the first one.
func (m *automaton) reset() {
	m.states, m.frames = map[uint64][]*state{}, map[waiting]*frame{}
	m.kept, m.age = 0, m.age+1
	if m.seen == nil {
		m.seen = map[place]struct{}{}
	}
	m.dead = &state{forced: forcedNone}
	m.begin()
	m.visit(m.root, nil)
	m.start = m.settle()
}

func (m *automaton) frame(w waiting) *frame {
	if known, ok := m.frames[w]; ok {
		return known
	}
	fresh := &frame{w, uint32(len(m.frames) + 1)}
	m.frames[w] = fresh
	m.kept += frameBytes
	return fresh
}

func (m *automaton) begin() {
	m.places, m.accept, m.free, m.fault = m.places[:0], false, 0, nil
	clear(m.seen)
}

// visit adds a node, and all that it leads to without a byte.
func (m *automaton) visit(at int32, stack *frame) {
	n := &m.nodes[at]
	if stack.level()+n.need > maxDepth || m.fault != nil {
		return // nothing could end from here
	}
	if at == returns && stack == nil {
		m.accept = true
		return
	}
	p := place{at, stack}
	if _, dup := m.seen[p]; dup {
		return
	}
	m.seen[p] = struct{}{}
	m.work++
	if len(m.seen) > 4*maxPlaces || len(m.places) >= maxPlaces {
		m.fault = tooCostly("more than %d alternatives would have to be followed at a time", maxPlaces)
		return
	}
	switch n.kind {
	case nodeBytes:
		m.places = append(m.places, p)
	case nodeSplit:
		if n.plain {
			m.free = freeAlways
		}
		for _, to := range n.next {
			m.visit(to, stack)
		}
	case nodeCall:
		if n.waits() {
			stack = m.frame(waiting{node: at, depth: stack.level() + 1, up: stack})
		}
		m.visit(n.to, stack)
	case nodeLoop:
		m.round(at, n.min, n.max, stack)
	case nodeReturn:
		m.leave(stack)
	}
}

// round begins another round of a loop, or ends it, or both.
func (m *automaton) round(at, lo, hi int32, stack *frame) {
	n := &m.nodes[at]
	if lo == 0 {
		m.visit(n.then, stack)
	}
	if hi == 0 || stack.level()+1+m.nodes[n.to].need > maxDepth {
		return
	}
	if n.plain {
		free := hi
		if hi < 0 {
			free = freeAlways
		}
		m.free = max(m.free, free)
	}
	m.visit(n.to, m.frame(waiting{node: at, min: lo, max: hi, depth: stack.level() + 1, up: stack}))
}

// leave goes on behind a rule or a round that has ended.
func (m *automaton) leave(f *frame) {
	if m.nodes[f.node].kind == nodeCall {
		m.visit(m.nodes[f.node].then, f.up)
		return
	}
	left := f.max
	if left > 0 {
		left--
	}
	m.round(f.node, max(f.min-1, 0), left, f.up)
}

// settle gives the state of what was visited.
func (m *automaton) settle() *state {
	if len(m.places) == 0 && !m.accept {
		return m.dead
	}
	// The order is that of the visit, which is the same for the same places in all but contrived grammars.
	h := uint64(len(m.places))<<1 | 1
	for _, p := range m.places {
		h = (h ^ uint64(p.node)<<32 ^ uint64(p.stack.number())) * 0x9E3779B97F4A7C15
		h ^= h >> 29
	}
	if m.accept {
		h ^= 0x5bd1e995
	}
	for _, s := range m.states[h] {
		if s.accept == m.accept && slices.Equal(s.places, m.places) {
			s.free = max(s.free, m.free)
			return s
		}
	}
	s := &state{places: slices.Clone(m.places), next: make([]*state, m.classes), accept: m.accept, free: m.free,
		forced: forcedUnknown, age: m.age}
	s.distinct = m.distinct && slices.ContainsFunc(s.places, func(p place) bool { return m.rootOf(p) != nil })
	m.states[h] = append(m.states[h], s)
	m.kept += stateBytes + len(s.places)*placeBytes + m.classes*8
	return s
}

// step gives the state behind a class of bytes.
func (m *automaton) step(s *state, class uint8) (*state, error) {
	if to := s.next[class]; to != nil {
		return to, nil
	}
	m.begin()
	c := m.first[class]
	for _, p := range s.places {
		m.work++
		for _, e := range m.nodes[p.node].edges {
			if c < e.lo {
				break
			}
			if c <= e.hi {
				m.visit(e.to, p.stack)
			}
		}
	}
	if m.fault != nil {
		return nil, m.fault
	}
	to := m.settle()
	s.next[class] = to
	return to, nil
}

// adopt gives a state again that was forgotten with all others, and forgets all if there are too many.
func (m *automaton) adopt(s *state) *state {
	if m.kept > maxKept {
		m.reset()
	}
	if s.age == m.age {
		return s
	}
	m.begin()
	m.accept, m.free = s.accept, s.free
	for _, p := range s.places {
		m.places = append(m.places, place{p.node, m.again(p.stack)})
	}
	return m.settle()
}

func (m *automaton) again(f *frame) *frame {
	if f == nil {
		return nil
	}
	g := f.waiting
	g.up = m.again(f.up)
	return m.frame(g)
}

// clipped gives the state whose next n bytes are the same but which has forgotten how far beyond them counts go, so
// that states that differ in nothing else are one.
func (m *automaton) clipped(s *state, n int32) *state {
	if s.short != nil {
		return s.short
	}
	s.short = s
	long := func(f *frame) bool {
		for ; f != nil; f = f.up {
			if f.min > n || f.max > n {
				return true
			}
		}
		return false
	}
	if !slices.ContainsFunc(s.places, func(p place) bool { return long(p.stack) }) {
		return s
	}
	m.begin()
	m.accept, m.free = s.accept, s.free
	if m.free > n && m.free != freeAlways {
		m.free = n
	}
	for _, p := range s.places {
		q := place{p.node, m.clip(p.stack, n)}
		if _, dup := m.seen[q]; !dup {
			m.seen[q] = struct{}{}
			m.places = append(m.places, q)
		}
	}
	s.short = m.settle()
	s.short.short = s.short
	return s.short
}

func (m *automaton) clip(f *frame, n int32) *frame {
	if f == nil {
		return nil
	}
	g := f.waiting
	g.min, g.max = min(f.min, n), min(f.max, n)
	g.up = m.clip(f.up, n)
	return m.frame(g)
}

// forced gives the only byte that may follow a state, or forcedNone.
func (m *automaton) forced(s *state) int16 {
	if s.forced != forcedUnknown {
		return s.forced
	}
	s.forced = forcedNone
	if s.accept || len(s.places) == 0 {
		return s.forced
	}
	only := int16(-1)
	for _, p := range s.places {
		for _, e := range m.nodes[p.node].edges {
			if e.lo != e.hi || only >= 0 && only != int16(e.lo) {
				return s.forced
			}
			if m.nodes[e.to].need+p.stack.level() <= maxDepth {
				only = int16(e.lo)
			}
		}
	}
	s.forced = only
	return s.forced
}
