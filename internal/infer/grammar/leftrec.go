package grammar

import (
	"fmt"
	"slices"
)

// nullable tells for each rule whether it has the empty text.
func (r *rules) nullable() []bool {
	known := make([]bool, len(r.bodies))
	users := make([][]int, len(r.bodies)) // of each rule: those that may become nullable with it
	queue := make([]int, 0, len(r.bodies))
	for i, body := range r.bodies {
		queue = append(queue, i)
		leftRules(body, nil, func(rule int) { users[rule] = append(users[rule], i) })
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if !known[i] && isNullable(r.bodies[i], known) {
			known[i] = true
			queue = append(queue, users[i]...)
		}
	}
	return known
}

func isNullable(e *expr, rules []bool) bool {
	switch e.op {
	case opText:
		return e.text == ""
	case opSeq:
		for _, s := range e.subs {
			if !isNullable(s, rules) {
				return false
			}
		}
		return true
	case opAlt:
		for _, s := range e.subs {
			if isNullable(s, rules) {
				return true
			}
		}
		return false
	case opRepeat:
		return e.min == 0 || isNullable(e.subs[0], rules)
	case opRule:
		return rules[e.rule]
	case opDFA:
		return len(e.auto.states) > 0 && e.auto.states[0].accept
	}
	return false
}

func (b *builder) isNullable(e *expr) bool { return isNullable(e, b.nullable) }

// withoutEmpty gives e's texts but the empty one.
func (b *builder) withoutEmpty(e *expr) *expr {
	if !b.isNullable(e) {
		return e
	}
	switch e.op {
	case opSeq:
		first, rest := e.subs[0], seq(e.subs[1:]...)
		return alt(seq(b.withoutEmpty(first), rest), b.withoutEmpty(rest))
	case opAlt:
		var subs []*expr
		for _, s := range e.subs {
			if w := b.withoutEmpty(s); w != nothing {
				subs = append(subs, w)
			}
		}
		return alt(subs...)
	case opRepeat:
		more := e.max
		if more > 0 {
			more--
		}
		body := b.withoutEmpty(e.subs[0])
		return seq(body, repeat(body, 0, more))
	case opRule:
		rule, ok := b.nonEmpty[e.rule]
		if !ok {
			rule = b.rules.add(b.rules.names[e.rule])
			b.nonEmpty[e.rule] = rule
			b.nullable = append(b.nullable, false)
			b.rules.bodies[rule] = b.withoutEmpty(b.rules.bodies[e.rule])
		}
		return ref(rule)
	case opDFA:
		return &expr{op: opDFA, auto: e.auto.withoutEmpty(), quoted: e.quoted}
	}
	return nothing
}

// leftRules calls visit with each rule that a text of e may begin with; with all of its rules if nullable is nil.
func leftRules(e *expr, nullable []bool, visit func(rule int)) {
	seen := map[*expr]bool{} // expressions share parts
	var walk func(e *expr)
	walk = func(e *expr) {
		if e.op == opRule {
			visit(e.rule)
			return
		}
		if len(e.subs) == 0 || seen[e] {
			return
		}
		seen[e] = true
		for _, s := range e.subs {
			walk(s)
			if e.op == opSeq && nullable != nil && !isNullable(s, nullable) {
				return
			}
		}
	}
	walk(e)
}

// noLeftRecursion makes rules that begin with themselves into such as repeat, A = A x | y into A = y x*, also where A
// begins with others that begin with A. What it cannot turn is an error.
func (r *rules) noLeftRecursion() error {
	nullable := r.nullable()
	for round := 0; ; round++ {
		cycle := r.leftCycle(nullable)
		if cycle == nil {
			return nil
		}
		rule := cycle[0]
		if round > maxTurns {
			return tooCostly("more than %d rules begin with themselves", maxTurns)
		}
		if round > 2*len(r.bodies)+8 {
			return &Error{Reason: fmt.Sprintf("rule %q begins with itself in a way that is not supported",
				r.names[rule])}
		}
		if err := r.turn(cycle, nullable); err != nil {
			return err
		}
		nullable = r.nullable()
	}
}

// leftCycle finds rules of which each may begin with the next, and the last with the first.
func (r *rules) leftCycle(nullable []bool) []int {
	const (
		fresh = iota
		open
		done
	)
	mark := make([]int, len(r.bodies))
	left := make([][]int, len(r.bodies))
	for i, body := range r.bodies {
		seen := map[int]bool{}
		leftRules(body, nullable, func(rule int) {
			if !seen[rule] {
				seen[rule] = true
				left[i] = append(left[i], rule)
			}
		})
	}
	for i := range left { // those that begin with themselves first: the others' bodies can then be put into theirs
		if slices.Contains(left[i], i) {
			return []int{i}
		}
	}
	type visit struct{ rule, next int }
	for root := range r.bodies {
		if mark[root] != fresh {
			continue
		}
		stack := []visit{{rule: root}}
		mark[root] = open
		for len(stack) > 0 {
			v := &stack[len(stack)-1]
			if v.next == len(left[v.rule]) {
				mark[v.rule] = done
				stack = stack[:len(stack)-1]
				continue
			}
			to := left[v.rule][v.next]
			v.next++
			switch mark[to] {
			case fresh:
				mark[to] = open
				stack = append(stack, visit{rule: to})
			case open:
				var cycle []int
				for i := len(stack) - 1; ; i-- {
					cycle = append([]int{stack[i].rule}, cycle...)
					if stack[i].rule == to {
						return cycle
					}
				}
			}
		}
	}
	return nil
}

// corner is an alternative of a rule: what it begins with, if that is a rule of interest, and what follows.
type corner struct {
	rule int // −1: none of interest
	rest *expr
}

// corners splits an expression by what it begins with.
func corners(e *expr, interest map[int]bool, nullable []bool, budget *int) []corner {
	if *budget--; *budget < 0 {
		return nil
	}
	any := false
	leftRules(e, nullable, func(rule int) { any = any || interest[rule] })
	if !any {
		return []corner{{-1, e}}
	}
	switch e.op {
	case opRule:
		return []corner{{e.rule, empty}}
	case opAlt:
		var out []corner
		for _, s := range e.subs {
			out = append(out, corners(s, interest, nullable, budget)...)
		}
		return out
	case opRepeat:
		less, more := max(e.min-1, 0), e.max
		if more > 0 {
			more--
		}
		var out []corner
		for _, c := range corners(e.subs[0], interest, nullable, budget) {
			out = append(out, corner{c.rule, seq(c.rest, repeat(e.subs[0], less, more))})
		}
		if e.min == 0 {
			out = append(out, corner{-1, empty})
		}
		return out
	case opSeq:
		rest := seq(e.subs[1:]...)
		var out []corner
		for _, c := range corners(e.subs[0], interest, nullable, budget) {
			switch {
			case c.rule >= 0 || !isNullable(c.rest, nullable):
				out = append(out, corner{c.rule, seq(c.rest, rest)})
			case c.rest == empty || c.rest.op == opText:
				out = append(out, corners(rest, interest, nullable, budget)...)
			default: // it may be empty, and then the rest may begin with a rule of interest
				out = append(out, corner{-1, seq(c.rest, rest)})
			}
		}
		return out
	}
	return []corner{{-1, e}}
}

// turn removes the left recursion of the first rule of a cycle: the others' bodies are put in where it begins with
// them, until it begins with itself only.
func (r *rules) turn(cycle []int, nullable []bool) error {
	rule := cycle[0]
	budget := 10_000
	interest := map[int]bool{}
	for _, c := range cycle {
		interest[c] = true
	}
	list := corners(r.bodies[rule], interest, nullable, &budget)
	for range cycle {
		var flat []corner
		for _, c := range list {
			if c.rule < 0 || c.rule == rule {
				flat = append(flat, c)
				continue
			}
			for _, d := range corners(r.bodies[c.rule], interest, nullable, &budget) {
				flat = append(flat, corner{d.rule, seq(d.rest, c.rest)})
			}
		}
		list = flat
	}
	var heads, tails []*expr
	for _, c := range list {
		switch {
		case c.rule == rule:
			if c.rest != empty { // A = A says nothing
				tails = append(tails, c.rest)
			}
		case c.rule >= 0:
			heads = append(heads, seq(ref(c.rule), c.rest))
		default:
			heads = append(heads, c.rest)
		}
	}
	if budget < 0 {
		return tooCostly("rule %q begins with itself in too many ways", r.names[rule])
	}
	body := alt(heads...)
	if len(tails) > 0 {
		body = seq(body, star(alt(tails...)))
	}
	r.bodies[rule] = body
	return nil
}
