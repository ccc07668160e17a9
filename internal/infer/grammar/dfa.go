package grammar

import "fmt"

// dfa is a regular language as a deterministic automaton. Its first state is the start; without states it is empty.
type dfa struct{ states []dfaState }

type dfaState struct {
	edges  []edge // in order, apart
	accept bool
}

// determinise makes an automaton of an expression without rules.
func determinise(e *expr) (*dfa, error) {
	m, err := build(&rules{names: []string{"root"}, bodies: []*expr{e}})
	if err != nil {
		if e, ok := err.(*Error); ok && !e.costly {
			return &dfa{}, nil // no text fits
		}
		return nil, err
	}
	number := map[*state]int32{m.start: 0}
	list := []*state{m.start}
	d := &dfa{}
	for i := 0; i < len(list); i++ {
		var to dfaState
		to.accept = list[i].accept
		for class := range m.classes {
			next, err := m.step(list[i], uint8(class))
			if err != nil {
				return nil, err
			}
			if next == m.dead {
				continue
			}
			n, ok := number[next]
			if !ok {
				n = int32(len(list))
				number[next] = n
				list = append(list, next)
			}
			last := byte(255)
			if class+1 < m.classes {
				last = m.first[class+1] - 1
			}
			to.edges = append(to.edges, edge{m.first[class], last, n})
		}
		d.states = append(d.states, merged(node{edges: to.edges}).state(to.accept))
		if len(list) > maxDFA || m.work > 50*maxWork {
			return nil, tooManyStates()
		}
	}
	return d, nil
}

func tooManyStates() error {
	return tooCostly("needs an automaton of more than %d states", maxDFA)
}

func (n node) state(accept bool) dfaState { return dfaState{n.edges, accept} }

// to gives the state behind a byte, −1 where there is none.
func (d *dfa) to(from int32, c byte) int32 {
	if from < 0 {
		return -1
	}
	for _, e := range d.states[from].edges {
		if c >= e.lo && c <= e.hi {
			return e.to
		}
	}
	return -1
}

// both gives the intersection of two languages.
func both(a, b *dfa) (*dfa, error) {
	return product(a, b, false)
}

// without gives the texts of a that b does not have.
func without(a, b *dfa) (*dfa, error) {
	return product(a, b, true)
}

func product(a, b *dfa, minus bool) (*dfa, error) {
	if len(a.states) == 0 || len(b.states) == 0 && !minus {
		return &dfa{}, nil
	}
	type pair struct{ a, b int32 }
	start := pair{0, 0}
	if len(b.states) == 0 {
		start.b = -1
	}
	number := map[pair]int32{start: 0}
	list := []pair{start}
	out := &dfa{}
	for i := 0; i < len(list); i++ {
		p := list[i]
		other := p.b >= 0 && b.states[p.b].accept
		s := dfaState{accept: a.states[p.a].accept && other != minus}
		for _, e := range a.states[p.a].edges {
			for lo := int(e.lo); lo <= int(e.hi); {
				target, hi := b.stretch(p.b, byte(lo), e.hi)
				if target >= 0 || minus {
					q := pair{e.to, target}
					n, ok := number[q]
					if !ok {
						n = int32(len(list))
						number[q] = n
						list = append(list, q)
					}
					s.edges = append(s.edges, edge{byte(lo), hi, n})
				}
				lo = int(hi) + 1
			}
		}
		out.states = append(out.states, s)
		if len(list) > maxDFA {
			return nil, tooManyStates()
		}
	}
	return out, nil
}

// stretch gives the state behind a byte, and the last byte up to a limit for which it is the same.
func (d *dfa) stretch(from int32, lo, limit byte) (to int32, hi byte) {
	if from < 0 {
		return -1, limit
	}
	for _, e := range d.states[from].edges {
		switch {
		case e.hi < lo:
		case e.lo <= lo:
			return e.to, min(e.hi, limit)
		default:
			return -1, min(e.lo-1, limit)
		}
	}
	return -1, limit
}

// isEmpty says that no text is in the language.
func (d *dfa) isEmpty() bool {
	for _, s := range d.states { // all can be reached
		if s.accept {
			return false
		}
	}
	return true
}

// lengths gives bounds of the lengths of the texts, in characters: none is shorter, and none is longer. longest is −1
// where there is no end, and where a text is shown to be no longer only by a closer look.
func (d *dfa) lengths() (shortest, longest int) {
	far := make([]int, len(d.states)) // the longest way from a state; 0: not known yet, −1: being looked for
	var from func(i int32) int
	from = func(i int32) int {
		if far[i] != 0 {
			return far[i]
		}
		far[i] = -1
		most := 1
		for _, e := range d.states[i].edges {
			n := from(e.to)
			if n < 0 {
				return -1
			}
			most = max(most, n+step(e))
		}
		far[i] = most
		return most
	}
	if len(d.states) == 0 {
		return 0, 0
	}
	longest = max(from(0)-1, -1)
	return d.shortest(), longest
}

// step is 1 for bytes with which a character begins, and 0 for those behind them.
func step(e edge) int {
	if e.lo >= 0x80 && e.hi < 0xc0 {
		return 0
	}
	return 1
}

func (d *dfa) shortest() int {
	near := make([]int, len(d.states))
	for i := range near {
		near[i] = -1
	}
	near[0] = 0
	for queue := []int32{0}; len(queue) > 0; {
		i := queue[0]
		queue = queue[1:]
		for _, e := range d.states[i].edges {
			if n := near[i] + step(e); near[e.to] < 0 || n < near[e.to] {
				near[e.to] = n
				queue = append(queue, e.to)
			}
		}
	}
	least := -1
	for i, s := range d.states {
		if s.accept && near[i] >= 0 && (least < 0 || near[i] < least) {
			least = near[i]
		}
	}
	return max(least, 0)
}

// has says whether a text is in the language.
func (d *dfa) has(s string) bool {
	if len(d.states) == 0 {
		return false
	}
	at := int32(0)
	for i := 0; i < len(s) && at >= 0; i++ {
		at = d.to(at, s[i])
	}
	return at >= 0 && d.states[at].accept
}

func (d *dfa) withoutEmpty() *dfa {
	out := &dfa{states: []dfaState{{}}}
	shift := func(s dfaState) dfaState {
		var edges []edge
		for _, e := range s.edges {
			edges = append(edges, edge{e.lo, e.hi, e.to + 1})
		}
		return dfaState{edges, s.accept}
	}
	for i, s := range d.states {
		s = shift(s)
		if i == 0 {
			out.states[0].edges = s.edges
		}
		out.states = append(out.states, s)
	}
	return out
}

// dfa builds an automaton.
func (b *builder) dfa(e *expr, next int32) int32 {
	states := e.auto.states
	if len(states) == 0 {
		return b.node(node{})
	}
	bytes, starts := make([]int32, len(states)), make([]int32, len(states))
	for i, s := range states {
		bytes[i] = b.node(node{})
		starts[i] = bytes[i]
		if s.accept || e.marked {
			starts[i] = b.node(node{kind: nodeSplit, next: []int32{bytes[i]}})
		}
		if s.accept {
			b.m.nodes[starts[i]].next = append(b.m.nodes[starts[i]].next, next)
		}
	}
	for i, s := range states {
		var edges []edge
		for _, x := range s.edges {
			to := starts[x.to]
			if e.marked && x.lo >= beginMark[0] {
				b.m.nodes[starts[i]].next = append(b.m.nodes[starts[i]].next, to)
				continue
			}
			if !e.quoted {
				edges = append(edges, edge{x.lo, x.hi, to})
				continue
			}
			for c := int(x.lo); c <= int(x.hi); c++ {
				if c >= 0x20 && c != '"' && c != '\\' {
					edges = append(edges, edge{byte(c), byte(c), to})
					continue
				}
				escape := quotedByte(byte(c))
				edges = append(edges, edge{'\\', '\\', b.text(escape[1:], to)})
			}
		}
		b.m.nodes[bytes[i]].edges = merged(node{edges: edges}).edges
	}
	return starts[0]
}

// quotedByte gives the escape that a JSON string needs for a byte.
func quotedByte(c byte) string {
	switch c {
	case '"':
		return `\"`
	case '\\':
		return `\\`
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	return fmt.Sprintf(`\u%04x`, c)
}
