package grammar

import (
	"fmt"
	"math"
	"slices"
)

// automaton is a grammar as nodes that are joined by edges: those for bytes, calls of rules, and counted repetitions.
// Places in it are pairs of a node and a stack; state.go moves sets of them.
type automaton struct {
	nodes    []node
	root     int32
	class    [256]uint8 // bytes that no edge tells apart have one class
	classes  int
	first    [256]byte // the first byte of each class
	distinct bool      // some calls are
	running
}

type node struct {
	kind  nodeKind
	plain bool    // nodeSplit, nodeLoop: goes round with any character that stands for itself in a JSON string
	edges []edge  // nodeBytes: in order, apart
	next  []int32 // nodeSplit
	to    int32   // nodeCall: the rule; nodeLoop: the body
	then  int32   // where a call returns to, or a loop goes on
	min   int32   // nodeLoop
	max   int32   // nodeLoop; unbounded if negative
	// nodeCall: the items of the array must all differ
	distinct bool
	need     int32 // frames that must be pushed beyond those there are until this rule or body can end
}

// waits says whether a call leaves a frame.
func (n *node) waits() bool { return n.then != returns || n.distinct }

type nodeKind uint8

const (
	nodeBytes nodeKind = iota
	nodeSplit
	nodeCall
	nodeLoop
	nodeReturn // the end of a rule or body
)

// returns is the one node of its kind.
const returns int32 = 0

type edge struct {
	lo, hi byte
	to     int32
}

// never is what a node needs from which nothing can end.
const never = math.MaxInt32 / 2

// rules are a grammar before it is built: rule 0 is the root.
type rules struct {
	names  []string
	bodies []*expr
}

func (r *rules) add(name string) int {
	r.names = append(r.names, name)
	r.bodies = append(r.bodies, nothing)
	return len(r.names) - 1
}

// builder makes nodes of expressions, from the end to the start: each expression is built towards what follows it.
type builder struct {
	m        *automaton
	rules    *rules
	nullable []bool
	starts   []int32 // of each rule; −1: not built
	queue    []int   // rules to build
	built    map[built]int32
	nonEmpty map[int]int // rule → the rule of its texts but the empty one
}

type built struct {
	e    *expr
	next int32
}

// errTooLarge ends building from any depth.
type errTooLarge struct{}

// build makes an automaton. Its errors are *Error.
func build(r *rules) (m *automaton, err error) {
	if err := r.noLeftRecursion(); err != nil {
		return nil, err
	}
	m = &automaton{nodes: make([]node, 1, 512)}
	m.nodes[returns].kind = nodeReturn
	b := &builder{m: m, rules: r, nullable: r.nullable(), built: map[built]int32{}, nonEmpty: map[int]int{}}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case errTooLarge:
			m, err = nil, tooCostly("the grammar needs more than %d automaton nodes", maxNodes)
		default:
			panic(p)
		}
	}()
	m.root = b.start(0)
	for len(b.queue) > 0 {
		rule := b.queue[0]
		b.queue = b.queue[1:]
		b.starts[rule] = b.build(r.bodies[rule], returns)
	}
	for i := range m.nodes {
		if m.nodes[i].kind == nodeCall {
			m.nodes[i].to = b.starts[m.nodes[i].to]
		}
	}
	m.root = b.starts[0]
	m.measure()
	if m.nodes[m.root].need == never {
		return nil, &Error{Reason: r.endless()}
	}
	m.classify()
	m.reset()
	if m.fault != nil {
		return nil, m.fault
	}
	if m.start == m.dead {
		return nil, &Error{Reason: r.endless()}
	}
	return m, nil
}

// endless describes a root from which no text ends.
func (r *rules) endless() string {
	switch {
	case r.names[0] == schemaRule:
		return "no value fits the schema"
	case len(r.names) < 2:
		return "no text fits"
	}
	return fmt.Sprintf("no text fits: rule %q can never end, or not within %d levels of nesting", r.names[0], maxDepth)
}

// start asks for a rule's nodes.
func (b *builder) start(rule int) int32 {
	for len(b.starts) < len(b.rules.bodies) {
		b.starts = append(b.starts, -1)
	}
	if b.starts[rule] < 0 && !slices.Contains(b.queue, rule) {
		b.queue = append(b.queue, rule)
	}
	return b.starts[rule]
}

func (b *builder) node(n node) int32 {
	if len(b.m.nodes) >= maxNodes {
		panic(errTooLarge{})
	}
	b.m.nodes = append(b.m.nodes, n)
	return int32(len(b.m.nodes) - 1)
}

// build gives the node from which e leads to next.
func (b *builder) build(e *expr, next int32) int32 {
	if e.op == opText {
		return b.text(e.text, next)
	}
	key := built{e, next}
	if at, ok := b.built[key]; ok {
		return at
	}
	at := b.fresh(e, next)
	b.built[key] = at
	return at
}

func (b *builder) fresh(e *expr, next int32) int32 {
	switch e.op {
	case opRunes:
		return b.runes(e.runes, next)
	case opSeq:
		for i := len(e.subs) - 1; i >= 0; i-- {
			next = b.build(e.subs[i], next)
		}
		return next
	case opAlt:
		return b.alt(e.subs, next)
	case opRepeat:
		return b.repeat(e, next)
	case opRule:
		b.start(e.rule)
		b.m.distinct = b.m.distinct || e.distinct
		return b.node(node{kind: nodeCall, to: int32(e.rule), then: next, distinct: e.distinct})
	case opDFA:
		return b.dfa(e, next)
	}
	panic(fmt.Sprintf("grammar: expression of kind %d", e.op))
}

func (b *builder) text(s string, next int32) int32 {
	for i := len(s) - 1; i >= 0; i-- {
		next = b.node(node{edges: []edge{{s[i], s[i], next}}})
	}
	return next
}

// runes builds a class of characters: one node, and more for the later bytes of longer ones.
func (b *builder) runes(ranges []runeRange, next int32) int32 {
	type tail struct{ a, b, c byteRange } // what follows a first byte; unused ones are zero
	tails := map[tail]int32{{}: next}
	var start node
	for _, r := range ranges {
		utf8Sequences(r.lo, r.hi, func(seq []byteRange) {
			var key tail
			at := next
			for i, slot := len(seq)-1, 0; i > 0; i, slot = i-1, slot+1 {
				key.a, key.b, key.c = seq[i], key.a, key.b
				known, ok := tails[key]
				if !ok {
					known = b.node(node{edges: []edge{{seq[i].lo, seq[i].hi, at}}})
					tails[key] = known
				}
				at = known
			}
			start.edges = append(start.edges, edge{seq[0].lo, seq[0].hi, at})
		})
	}
	return b.node(merged(start))
}

// merged puts edges in order and joins neighbours to the same node. Edges may share bytes: then both are followed.
func merged(n node) node {
	slices.SortStableFunc(n.edges, func(x, y edge) int { return int(x.lo) - int(y.lo) })
	var out []edge
	for _, e := range n.edges {
		if k := len(out); k > 0 && out[k-1].to == e.to && int(e.lo) == int(out[k-1].hi)+1 {
			out[k-1].hi = e.hi
			continue
		}
		out = append(out, e)
	}
	n.edges = out
	return n
}

// alt builds alternatives. Texts become a tree, so that thousands of them are one place at a time; alternatives that
// begin with different bytes become one node.
func (b *builder) alt(subs []*expr, next int32) int32 {
	var texts []string
	var starts []int32
	for _, s := range subs {
		if s.op == opText {
			texts = append(texts, s.text)
		} else {
			starts = append(starts, b.build(s, next))
		}
	}
	if len(texts) > 0 {
		slices.Sort(texts)
		starts = append(starts, b.tree(slices.Compact(texts), next))
	}
	return b.split(starts)
}

// mostEdges bounds the edges that are copied to make one node of several.
const mostEdges = 300

// split joins alternatives. Those that begin with bytes become one node.
func (b *builder) split(starts []int32) int32 {
	var other []int32
	var edges []edge
	var first int32
	count := 0
	for _, s := range starts {
		n := &b.m.nodes[s]
		if n.kind != nodeBytes || len(edges)+len(n.edges) > mostEdges {
			other = append(other, s)
			continue
		}
		first, count = s, count+1
		edges = append(edges, n.edges...)
	}
	if count > 1 {
		first = b.node(merged(node{edges: edges}))
	}
	if count > 0 {
		other = append(other, first)
	}
	if len(other) == 1 {
		return other[0]
	}
	return b.node(node{kind: nodeSplit, next: other})
}

// tree builds sorted texts as a prefix tree.
func (b *builder) tree(texts []string, next int32) int32 {
	first, last := texts[0], texts[len(texts)-1]
	common := 0
	for common < len(first) && common < len(last) && first[common] == last[common] {
		common++
	}
	prefix := first[:common]
	if len(texts) == 1 {
		return b.text(prefix, next)
	}
	var starts []int32
	var edges []edge
	if common == len(first) { // one ends here
		starts = append(starts, next)
		texts = texts[1:]
	}
	for len(texts) > 0 {
		c, n := texts[0][common], 0
		var group []string
		for n < len(texts) && texts[n][common] == c {
			group = append(group, texts[n][common+1:])
			n++
		}
		edges = append(edges, edge{c, c, b.tree(group, next)})
		texts = texts[n:]
	}
	starts = append(starts, b.node(node{edges: edges}))
	return b.text(prefix, b.split(starts))
}

// mostWritten bounds the nodes of a counted repetition that is written out.
const mostWritten = 16

// repeat builds a repetition: unbounded ones as a ring, short ones written out, others as a loop that counts.
func (b *builder) repeat(e *expr, next int32) int32 {
	body := e.subs[0]
	count := max(e.min, e.max)
	plain := hasPlain(body)
	switch {
	case e.max < 0 && e.min <= 1:
		ring := b.node(node{kind: nodeSplit, plain: plain})
		start := b.build(body, ring)
		b.m.nodes[ring].next = []int32{start, next}
		if e.min == 1 {
			return start
		}
		return ring
	case count <= 1 || !plain && count*b.size(body, mostWritten/count) <= mostWritten:
		return b.writtenOut(body, e.min, e.max, next)
	}
	lo := e.min
	if b.isNullable(body) {
		body, lo = b.withoutEmpty(body), 0
	}
	start := b.build(body, returns)
	return b.node(node{kind: nodeLoop, plain: plain, to: start, then: next, min: int32(lo), max: int32(e.max)})
}

func (b *builder) writtenOut(body *expr, lo, hi int, next int32) int32 {
	if hi < 0 {
		next = b.build(star(body), next)
		hi = lo
	}
	end := next
	for range hi - lo {
		next = b.split([]int32{b.build(body, next), end})
	}
	for range lo {
		next = b.build(body, next)
	}
	return next
}

// size estimates the nodes of an expression, up to a limit.
func (b *builder) size(e *expr, limit int) int {
	n := 1
	switch e.op {
	case opText:
		n = len(e.text)
	case opDFA:
		n = len(e.auto.states)
	case opRunes:
		if last := len(e.runes) - 1; last >= 0 && e.runes[last].hi > 0x7F {
			n = 8
		}
	case opRepeat:
		n = b.size(e.subs[0], limit)*min(max(e.min, e.max, 1), 8) + 1
	default:
		for _, s := range e.subs {
			if n += b.size(s, limit); n > limit {
				break
			}
		}
	}
	return n
}

// measure finds what each node needs; see node.need. A node that needs less than was thought is a reason to look again
// at those before it.
func (m *automaton) measure() {
	before := make([][]int32, len(m.nodes))
	queue := make([]int32, len(m.nodes))
	for i := range m.nodes {
		n := &m.nodes[i]
		n.need = never
		queue[len(queue)-1-i] = int32(i) // most lead to nodes that were made earlier
		add := func(to int32) { before[to] = append(before[to], int32(i)) }
		for _, e := range n.edges {
			add(e.to)
		}
		for _, to := range n.next {
			add(to)
		}
		if n.kind == nodeCall || n.kind == nodeLoop {
			add(n.to)
			add(n.then)
		}
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if need := m.needOf(&m.nodes[i]); need < m.nodes[i].need {
			m.nodes[i].need = need
			queue = append(queue, before[i]...)
		}
	}
}

func (m *automaton) needOf(n *node) int32 {
	least := int32(never)
	switch n.kind {
	case nodeReturn:
		return 0
	case nodeBytes:
		for _, e := range n.edges {
			least = min(least, m.nodes[e.to].need)
		}
	case nodeSplit:
		for _, to := range n.next {
			least = min(least, m.nodes[to].need)
		}
	case nodeCall:
		inside := m.nodes[n.to].need
		if n.waits() {
			inside++
		}
		least = max(inside, m.nodes[n.then].need)
	case nodeLoop:
		least = m.nodes[n.then].need
		if n.min > 0 {
			least = max(least, m.nodes[n.to].need+1)
		}
	}
	if least > maxDepth {
		return never
	}
	return least
}

// classify finds which bytes the edges tell apart.
func (m *automaton) classify() {
	var begins [257]bool
	begins[0] = true
	for i := range m.nodes {
		for _, e := range m.nodes[i].edges {
			begins[e.lo], begins[int(e.hi)+1] = true, true
		}
	}
	m.classes = 0
	for c := range 256 {
		if begins[c] {
			m.first[m.classes] = byte(c)
			m.classes++
		}
		m.class[c] = uint8(m.classes - 1)
	}
}
