package chat

import "fmt"

// takesArgument are the tests that may be written without brackets around their argument.
var takesArgument = map[string]bool{"equalto": true, "eq": true, "ne": true, "in": true, "divisibleby": true,
	"lt": true, "gt": true, "le": true, "ge": true, "sameas": true}

func isA[T any](_ *rendering, v, _ any) (bool, error) {
	_, ok := v.(T)
	return ok, nil
}

func ordered(holds func(c int) bool) func(*rendering, any, any) (bool, error) {
	return func(_ *rendering, v, arg any) (bool, error) {
		c, err := compare(v, arg)
		return err == nil && holds(c), err
	}
}

func whole(v any) (int64, error) {
	n, ok := v.(int64)
	if !ok {
		return 0, fmt.Errorf("%s is not an int", kind(v))
	}
	return n, nil
}

// tests are what may stand behind "is".
var tests = map[string]func(m *rendering, v, arg any) (bool, error){
	"defined": func(_ *rendering, v, _ any) (bool, error) {
		_, ok := v.(undefined)
		return !ok, nil
	},
	"undefined": isA[undefined], "string": isA[text], "mapping": isA[*dict], "boolean": isA[bool],
	"integer": isA[int64],
	"float":   isA[float64], "callable": isA[callable],
	"none": func(_ *rendering, v, _ any) (bool, error) { return v == nil, nil },
	"number": func(_ *rendering, v, _ any) (bool, error) {
		_, ok := numberOf(v)
		return ok, nil
	},
	"true":     func(_ *rendering, v, _ any) (bool, error) { return v == true, nil },
	"false":    func(_ *rendering, v, _ any) (bool, error) { return v == false, nil },
	"iterable": iterable, "sequence": iterable,
	"odd": func(_ *rendering, v, _ any) (bool, error) {
		n, err := whole(v)
		return n%2 != 0, err
	},
	"even": func(_ *rendering, v, _ any) (bool, error) {
		n, err := whole(v)
		return n%2 == 0, err
	},
	"divisibleby": func(_ *rendering, v, arg any) (bool, error) {
		n, err := whole(v)
		if err != nil {
			return false, err
		}
		by, err := whole(arg)
		if err == nil && by == 0 {
			err = fmt.Errorf("division by zero")
		}
		return err == nil && n%by == 0, err
	},
	"equalto": func(_ *rendering, v, arg any) (bool, error) { return equal(v, arg), nil },
	"eq":      func(_ *rendering, v, arg any) (bool, error) { return equal(v, arg), nil },
	"sameas":  func(_ *rendering, v, arg any) (bool, error) { return kind(v) == kind(arg) && equal(v, arg), nil },
	"ne":      func(_ *rendering, v, arg any) (bool, error) { return !equal(v, arg), nil },
	"in":      func(m *rendering, v, arg any) (bool, error) { return m.contains(arg, v) },
	"lt":      ordered(func(c int) bool { return c < 0 }), "gt": ordered(func(c int) bool { return c > 0 }),
	"le": ordered(func(c int) bool { return c <= 0 }), "ge": ordered(func(c int) bool { return c >= 0 }),
}

func iterable(_ *rendering, v, _ any) (bool, error) {
	switch v.(type) {
	case *list, *dict, text:
		return true, nil
	}
	return false, nil
}
