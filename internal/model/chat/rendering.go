package chat

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// What can go wrong, for errors.Is.
var (
	// ErrTemplate is matched by errors about a template that cannot be compiled, or does what it may not.
	ErrTemplate = errors.New("bad chat template")
	// ErrLimit is matched when a template takes too many steps or makes too much.
	ErrLimit = errors.New("the chat template does not come to an end within its limits")
	// ErrRefused is matched by what a template raises itself: a RefusedError.
	ErrRefused = errors.New("refused by the chat template")
)

// RefusedError is a conversation that the template does not take, in its words.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "the model's chat template says: " + e.Reason }

// Is makes every RefusedError an ErrRefused.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

const (
	maxDepth   = 100      // of expressions, of macros, of values in values
	stepCost   = 24       // a step in bytes: about the time that copying so many takes, and more
	leastWork  = 24 << 20 // a million steps; the templates that people publish take some hundreds for each message
	workFactor = 256      // bytes for each byte of the conversation
)

// rendering is one under way.
type rendering struct {
	work  int // bytes that may still be made
	depth int
	now   func() time.Time
}

func (m *rendering) charge(n int) error {
	if m.work -= n; m.work < 0 || n < 0 {
		return ErrLimit
	}
	return nil
}

func (m *rendering) step() error { return m.charge(stepCost) }

func (m *rendering) enter() error {
	if m.depth++; m.depth > maxDepth {
		return fmt.Errorf("%w: more than %d levels deep", ErrLimit, maxDepth)
	}
	return m.step()
}

func (m *rendering) leave() { m.depth-- }

// scope is the names that can be seen from a place.
type scope struct {
	names map[string]any
	outer *scope
}

func (s *scope) inner() *scope { return &scope{names: map[string]any{}, outer: s} }

func (s *scope) find(name string) any {
	for ; s != nil; s = s.outer {
		if v, ok := s.names[name]; ok {
			return v
		}
	}
	return undefined{name}
}

// globals are the functions that every template has.
var globals = map[string]any{
	"range": callable(makeRange),
	"namespace": callable(func(_ *rendering, a arguments) (any, error) {
		d := newDict()
		for _, v := range a.plain {
			if from, ok := v.(*dict); ok {
				for _, k := range from.keys {
					d.set(k, from.values[k.s])
				}
			}
		}
		for _, k := range a.names {
			d.set(own(k), a.named[k])
		}
		return d, nil
	}),
	"dict": callable(func(_ *rendering, a arguments) (any, error) {
		d := newDict()
		for _, k := range a.names {
			d.set(own(k), a.named[k])
		}
		return d, nil
	}),
	"raise_exception": callable(func(m *rendering, a arguments) (any, error) {
		t, err := m.str(a.get(0, "message", nil))
		if err != nil {
			return nil, err
		}
		return nil, &RefusedError{strings.ToValidUTF8(t.s[:min(len(t.s), 500)], "")}
	}),
	"strftime_now": callable(func(m *rendering, a arguments) (any, error) {
		format, ok := a.get(0, "format", nil).(text)
		if !ok {
			return nil, errors.New("strftime_now needs a format")
		}
		return own(strftime(m.now(), format.s)), m.charge(len(format.s) * 16)
	}),
}

// makeRange is Python's range.
func makeRange(m *rendering, a arguments) (any, error) {
	var n [3]int64
	for i, v := range a.plain {
		x, ok := v.(int64)
		if !ok || i > 2 {
			return nil, errors.New("range takes one to three integers")
		}
		n[i] = x
	}
	from, to, by := n[0], n[1], n[2]
	switch len(a.plain) {
	case 0:
		return nil, errors.New("range takes one to three integers")
	case 1:
		from, to, by = 0, n[0], 1
	case 2:
		by = 1
	}
	if by == 0 {
		return nil, errors.New("range with a step of 0")
	}
	l := &list{}
	for i := from; by > 0 && i < to || by < 0 && i > to; i += by {
		if err := m.step(); err != nil {
			return nil, err
		}
		l.items = append(l.items, i)
	}
	return l, nil
}

var strftimeParts = map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'B': "January", 'b': "Jan", 'A': "Monday",
	'a': "Mon", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'I': "03", 'p': "PM", 'j': "002", 'Z': "MST", 'e': "_2",
	'F': "2006-01-02", 'T': "15:04:05", '%': "%"}

func strftime(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] == '%' && i+1 < len(format) {
			if layout, ok := strftimeParts[format[i+1]]; ok {
				b.WriteString(t.Format(layout))
				i++
				continue
			}
		}
		b.WriteByte(format[i])
	}
	return b.String()
}

func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}
