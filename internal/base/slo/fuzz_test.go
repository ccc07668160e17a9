package slo

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// FuzzParse: a list is refused with ErrSyntax, or its objectives stay the same when they are written and read again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"ttft:p99<2s", "latency:mean<=200ms, itl:P99.9<1m", "tpot:avg<1ns", "", ",", "ttft:p<s",
		"ttft:p1e1<9223372036s", "itl:p99.999<0.1us"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		var again []string
		for _, o := range all {
			if !(o.Limit > 0) || o.Percentile < 0 || o.Percentile >= 1 {
				t.Fatalf("%q: %+v", text, o)
			}
			again = append(again, o.String())
		}
		if got, err := Parse(strings.Join(again, ",")); err != nil || !slices.Equal(got, all) {
			t.Fatalf("%q is written as %q, which reads as %v, %v", text, again, got, err)
		}
	})
}
