package mixtral

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// What UnknownFields may be.
const (
	unknownError  = "error"
	unknownIgnore = "ignore"
)

// validator collects problems.
type validator struct{ problems []Problem }

func (v *validator) add(key, value, allowed string) {
	v.problems = append(v.problems, Problem{Key: key, Value: value, Allowed: allowed})
}

func (v *validator) number(key string, got, lo, hi float64) {
	if !(got >= lo && got <= hi) {
		v.add(key, strconv.FormatFloat(got, 'f', -1, 64), fmt.Sprintf("must be between %.0f and %.0f", lo, hi))
	}
}

func (v *validator) above(key string, got, hi float64) {
	if !(got > 0 && got <= hi) {
		v.add(key, strconv.FormatFloat(got, 'f', -1, 64), fmt.Sprintf("must be above 0 and at most %.0f", hi))
	}
}

func (v *validator) oneOf(key, got string, allowed ...string) {
	if !slices.Contains(allowed, got) {
		v.add(key, strconv.Quote(got), "must be "+alternatives(allowed))
	}
}

// alternatives writes "a, b or c".
func alternatives(names []string) string {
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
	return strings.Join(names, "")
}

// url checks an address that may be empty. Its password is not shown.
func (v *validator) url(key, got string, schemes ...string) {
	if got == "" {
		return
	}
	allowed := "must begin with " + strings.Join(schemes, ":// or ") + "://"
	u, err := url.Parse(got)
	switch {
	case err != nil:
		v.add(key, "a value that is not a URL", allowed) // a parser's message would show it
	case !slices.Contains(schemes, u.Scheme):
		v.add(key, strconv.Quote(u.Redacted()), allowed)
	case u.Host == "":
		v.add(key, strconv.Quote(u.Redacted()), "must name a host")
	}
}
