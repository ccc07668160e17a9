package llm

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// run writes text in pieces and gives what came out.
func run(stops []string, pieces ...string) (string, bool) {
	s := NewStops(stops)
	var out strings.Builder
	for _, p := range pieces {
		text, hit := s.Write(p)
		out.WriteString(text)
		if hit {
			return out.String(), true
		}
	}
	out.WriteString(s.Flush())
	return out.String(), false
}

func TestStops(t *testing.T) {
	for _, test := range []struct {
		stops  []string
		pieces []string
		want   string
		hit    bool
	}{
		{nil, []string{"a", "b"}, "ab", false},
		{[]string{""}, []string{"a", "b"}, "ab", false},
		{[]string{"\n\n"}, []string{"one\n", "\ntwo"}, "one", true},
		{[]string{"\n\n"}, []string{"one\n", "two"}, "one\ntwo", false},
		{[]string{"\n\n"}, []string{"one\n"}, "one\n", false},
		{[]string{"END"}, []string{"E", "N", "E", "N", "D", "x"}, "EN", true},
		{[]string{"aab"}, []string{"aa", "aa", "ab"}, "aaa", true},
		{[]string{"bc", "abcd"}, []string{"abcd"}, "a", true}, // the first to be complete
		{[]string{"bc", "abc"}, []string{"ab", "c"}, "", true},
		{[]string{"é"}, []string{"è", "é"}, "è", true},
		{[]string{"x"}, []string{"x"}, "", true},
		{[]string{"\ufffd"}, []string{"a", "\ufffd", "b"}, "a", true},
		{[]string{"\ufffd\ufffd"}, []string{"\ufffd", "a\ufffd", "\ufffd"}, "\ufffda", true},
	} {
		if got, hit := run(test.stops, test.pieces...); got != test.want || hit != test.hit {
			t.Errorf("%q in %q: %q, %v; want %q, %v", test.stops, test.pieces, got, hit, test.want, test.hit)
		}
	}
}

func TestCheckStop(t *testing.T) {
	for _, test := range []struct {
		stops []string
		field string
	}{
		{nil, ""}, {[]string{"a", "\ufffd", "\x00"}, ""}, {[]string{"a", ""}, "stop[1]"},
		{[]string{"\xff"}, "stop[0]"}, {[]string{"a", "b", "é"[:1]}, "stop[2]"},
	} {
		var field *FieldError
		err := CheckStop(test.stops)
		if (err != nil) != (test.field != "") || err != nil && (!errors.As(err, &field) || field.Field != test.field) {
			t.Errorf("%q: %v, want a complaint about %q", test.stops, err, test.field)
		}
	}
}

func TestNothingAfterAHit(t *testing.T) {
	s := NewStops([]string{"x"})
	s.Write("ax")
	if text, hit := s.Write("more"); text != "" || !hit || s.Flush() != "" {
		t.Errorf("%q, %v", text, hit)
	}
}

// TestCutsDoNotMatter: however a text is cut, the same comes out, no stop string is in it, and nothing is lost
// without a hit.
func TestCutsDoNotMatter(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		letters := rapid.StringOfN(rapid.SampledFrom([]rune("abé")), 1, 4, -1)
		stops := rapid.SliceOfN(letters, 1, 3).Draw(t, "stops")
		text := rapid.StringOfN(rapid.SampledFrom([]rune("abcé")), 0, 20, -1).Draw(t, "text")
		whole, hit := run(stops, strings.Split(text, "")...)
		var pieces []string
		for rest := []rune(text); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			pieces = append(pieces, string(rest[:n]))
			rest = rest[n:]
		}
		got, gotHit := run(stops, pieces...)
		if got != whole || gotHit != hit {
			t.Fatalf("%q in %q: %q, %v; character by character %q, %v", stops, pieces, got, gotHit, whole, hit)
		}
		found := false
		for _, stop := range stops {
			found = found || strings.Contains(text, stop)
			if strings.Contains(got, stop) {
				t.Fatalf("%q has stop string %q", got, stop)
			}
		}
		if found != hit || !hit && got != text {
			t.Fatalf("%q, %v from %q", got, hit, text)
		}
	})
}

// FuzzStops: the text before a hit is what a search in the whole text finds, wherever the pieces end.
func FuzzStops(f *testing.F) {
	f.Add("one\n\ntwo", "\n\n", "wo", 3)
	f.Add("aaab", "aab", "b", 1)
	f.Add("\xff\xfe", "\xfe", "", 1)
	f.Fuzz(func(t *testing.T, text, a, b string, step int) {
		step = max(1, step%16)
		var pieces []string
		for rest := text; rest != ""; rest = rest[min(step, len(rest)):] {
			pieces = append(pieces, rest[:min(step, len(rest))])
		}
		got, hit := run([]string{a, b}, pieces...)
		found := false
		for _, stop := range []string{a, b} {
			if stop == "" {
				continue
			}
			found = found || strings.Contains(text, stop)
			if hit && strings.Contains(got, stop) {
				t.Fatalf("%q of %q holds %q", got, text, stop)
			}
		}
		if hit != found || !hit && got != text || !strings.HasPrefix(text, got) {
			t.Fatalf("%q, %v of %q with %q and %q in steps of %d", got, hit, text, a, b, step)
		}
	})
}
