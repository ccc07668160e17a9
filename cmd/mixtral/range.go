package main

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// span is the range that a numeric flag must be in. Its texts are those of the tag, so that an error repeats them.
type span struct {
	least, most string
	above       bool // least itself is outside
}

// parseSpan reads the tag of a flag: "1..65535", "0.." without an upper bound, ">0..1000" without 0, "1s..1h".
func parseSpan(tag string) (span, error) {
	least, most, ok := strings.Cut(tag, "..")
	s := span{most: most}
	s.least, s.above = strings.CutPrefix(least, ">")
	if !ok || s.least == "" {
		return s, fmt.Errorf("range %q: must be LEAST..MOST, LEAST.. or >LEAST..MOST", tag)
	}
	return s, nil
}

func (s span) String() string {
	switch {
	case s.above && s.most == "":
		return "above " + s.least
	case s.above:
		return "above " + s.least + " and at most " + s.most
	case s.most == "":
		return "at least " + s.least
	}
	return "between " + s.least + " and " + s.most
}

// has says whether a number is in the range. NaN is in no range.
func (s span) has(v reflect.Value) (bool, error) {
	low, err := compare(v, s.least)
	if err != nil || low < 0 || low == 0 && s.above {
		return false, err
	}
	if s.most == "" {
		return true, nil
	}
	high, err := compare(v, s.most)
	return high <= 0, err
}

// compare compares a flag's number with one that is written in a tag. NaN is less than every other number.
func compare(v reflect.Value, text string) (int, error) {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		return cmp.Compare(time.Duration(v.Int()), d), err
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, 64)
		return cmp.Compare(v.Int(), n), err
	case v.CanFloat():
		f, err := strconv.ParseFloat(text, 64)
		return cmp.Compare(v.Float(), f), err
	}
	return 0, fmt.Errorf("%v has no range", v.Type())
}

// checkRanges checks the flags that a command line sets against the range tags of their fields. A flag that was not
// given keeps its default, which may be a 0 outside the range.
func checkRanges(path []*kong.Path) error {
	for _, p := range path {
		if p.Flag == nil || !p.Flag.Tag.Has("range") {
			continue
		}
		allowed, err := parseSpan(p.Flag.Tag.Get("range"))
		if err != nil {
			return err
		}
		given := reflect.Indirect(p.Flag.Target)
		if ok, err := allowed.has(given); err != nil {
			return fmt.Errorf("--%s: %w", p.Flag.Name, err)
		} else if !ok {
			return usageError(fmt.Errorf("--%s: must be %v, got %v", p.Flag.Name, allowed, given))
		}
	}
	return nil
}
