package chat

import (
	"fmt"
	"math"
)

// arithmetic computes a op b.
func (m *rendering) arithmetic(op string, a, b any) (any, error) {
	if op == "~" {
		s, err := m.str(a)
		if err != nil {
			return nil, err
		}
		t, err := m.str(b)
		if err != nil {
			return nil, err
		}
		return concat(s, t), m.charge(len(s.s) + len(t.s))
	}
	switch a := a.(type) {
	case text:
		switch b := b.(type) {
		case text:
			if op == "+" {
				return concat(a, b), m.charge(len(a.s) + len(b.s))
			}
		case int64:
			if op == "*" {
				return m.repeat(a, b)
			}
		}
	case *list:
		if b, ok := b.(*list); ok && op == "+" {
			all := append(append([]any(nil), a.items...), b.items...)
			return &list{items: all}, m.charge(16 * len(all))
		}
	}
	x, okX := a.(int64)
	y, okY := b.(int64)
	if okX && okY {
		if v, ok := integers(op, x, y); ok {
			return v, nil
		}
	}
	f, okF := numberOf(a)
	g, okG := numberOf(b)
	if okF && okG {
		switch op {
		case "+":
			return f + g, nil
		case "-":
			return f - g, nil
		case "*":
			return f * g, nil
		case "**":
			return math.Pow(f, g), nil
		case "/", "//", "%":
			if g == 0 {
				return nil, fmt.Errorf("division by zero")
			}
			switch op {
			case "/":
				return f / g, nil
			case "//":
				return math.Floor(f / g), nil
			}
			return f - g*math.Floor(f/g), nil
		}
	}
	if u, ok := a.(undefined); ok {
		return nil, fmt.Errorf("%s is undefined", u.name)
	}
	if u, ok := b.(undefined); ok {
		return nil, fmt.Errorf("%s is undefined", u.name)
	}
	return nil, fmt.Errorf("cannot compute %s %s %s", kind(a), op, kind(b))
}

// repeat is text · n. What would be too long is not even begun.
func (m *rendering) repeat(t text, n int64) (any, error) {
	if n <= 0 || t.s == "" {
		return text{}, nil
	}
	if n > int64(m.work/len(t.s)) {
		return nil, ErrLimit
	}
	if err := m.charge(len(t.s) * int(n)); err != nil {
		return nil, err
	}
	var b builder
	for range n {
		b.add(t)
	}
	return b.text(), nil
}

func integers(op string, x, y int64) (any, bool) {
	switch op {
	case "+":
		return x + y, true
	case "-":
		return x - y, true
	case "*":
		return x * y, true
	case "//", "%":
		if y == 0 || y == -1 {
			break
		}
		q, rest := x/y, x%y
		if rest != 0 && (rest < 0) != (y < 0) {
			q, rest = q-1, rest+y
		}
		if op == "//" {
			return q, true
		}
		return rest, true
	case "**":
		if v := math.Pow(float64(x), float64(y)); y >= 0 && math.Abs(v) < 1<<53 {
			return int64(v), true
		}
	}
	return nil, false
}
