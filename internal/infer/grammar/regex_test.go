package grammar

import (
	"regexp"
	"testing"
)

func TestRegexIsRE2(t *testing.T) {
	v, _ := vocabulary(t, 600)
	texts := []string{"", "a", "b", "ab", "ba", "aa", "abc", "aab", "é", "日本", "a\nb", "0", "42", "a1", "A", "K",
		"\u212a", "ſ", "-", "a-b",
		"aaa", "aaaa", "aaaaa", "abab", "ababab", " a", "a ", "xyz", "2024-02-30", "foo", "foobar", "barfoo", "\t",
		"a.b", "😀", "\u00a0"}
	for _, source := range []string{
		"", "a", "a*", "a+b", "(a|b)*", "a{2,4}", "(ab){1,3}", "[^a]", ".", ".*", "(?s).*", "(?i)k", `\d+`, `\w+`, `\s`, `\p{L}+`,
		`\p{Han}*`, `[[:alpha:]]+`, `^a$`, `^(a|b)+$`, `a|^b`, `(^a|b$)c?`, `(a?){5}`, `(a*)*`, `((a|b)?c?)*`, `a??b`, `\x61`, `\u0061`,
		`(?:foo|bar)(?:foo|bar)?`, `^^a$$`, `(a{2}){2}`, `$`, `^`, `(|a)b?`, `[^\n]+`, `\Aab\Z`, `.{3,5}`, `(a|ab)(c|bcd)?`, `😀|日.`,
		`x*$|^foo`, `(a|aa|aaa){2,3}`, `[a-c]{1,70}`, `(?:[a-c]?){1,70}`,
	} {
		g := compile(t, v, Regex, source)
		re := regexp.MustCompile(`\A(?:` + goSyntax(source) + `)\z`)
		for _, text := range texts {
			if got, want := accepts(t, g, text), re.MatchString(text); got != want {
				t.Errorf("%q with %q: %v, want %v", source, text, got, want)
			}
		}
		// And somewhere in the text, as JSON Schema's patterns match.
		e, err := regexText(source, false)
		if err != nil {
			t.Fatal(err)
		}
		d, err := determinise(e)
		if err != nil {
			t.Fatal(err)
		}
		re = regexp.MustCompile(goSyntax(source))
		for _, text := range texts {
			if got, want := d.has(text), re.MatchString(text); got != want {
				t.Errorf("pattern %q with %q: %v, want %v", source, text, got, want)
			}
		}
	}
}

// TestLookAhead: look-ahead is kept, as in the patterns that Zod writes.
func TestLookAhead(t *testing.T) {
	v, _ := vocabulary(t, 600)
	for _, test := range []struct {
		source   string
		yes, not []string
	}{
		{`^(?!-)[a-z-]{1,9}$`, []string{"a-b", "ab"}, []string{"-a", ""}},
		{`(?=.*[0-9])(?=.*[a-z])(?![)(]).{4,}`, []string{"abc1", "1)a(bc"}, []string{"abcd", "1234", "a1", "(ab1"}},
		{`^(?!(?:con|nul)$)\w+$`, []string{"conx", "a"}, []string{"con", "nul"}},
		{`^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$`,
			[]string{"a.b@c.de", "x@y-z.co.uk"}, []string{".a@b.cd", "a..b@c.de", "a.@b.cd", "a@b"}},
		{`(?!a|b)(c|a)d`, []string{"cd"}, []string{"ad"}},
		{`^(?!a)b|c|(?=d)[de]e`, []string{"b", "c", "de"}, []string{"a", "ab", "ee"}},
		{`^x(?!.*(?=y)..$)[xyz]*$`, []string{"xxxx", "xyxx", "xxy"}, []string{"xyx", "xxyz"}},
		{`^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$`,
			[]string{"P3W", "P1Y2M", "PT5M", "P1DT1H"}, []string{"P", "P1YT", "PT", "P1W2D", "P1Y2W"}},
		{`(?:(?=a)|b)[abc]`, []string{"a", "ba", "bb", "bc"}, []string{"b", "c", ""}},
		{`(?i)^(?=.{1,3}$)\w+(?!B)[a-z]$`, []string{"ac", "xxA"}, []string{"a", "aB", "ab", "aaaa"}},
	} {
		hasOnly(t, compile(t, v, Regex, test.source), test.source, test.yes, test.not)
	}
}

func TestRegexRefuses(t *testing.T) {
	for _, test := range []struct{ source, want string }{
		{`a(?=b)`, "no text fits"},
		{`a(?<=b)c`, "bad regular expression: look-around and other groups of Perl are not supported: `(?<=b)c`"},
		{`a(?!b)(?i:c)`, "bad regular expression: flags behind the beginning, such as (?i:…), and look-ahead together " +
			"are not supported"},
		{`^(?:(?!a).)*$`, "bad regular expression: look-ahead within a repetition is not supported"},
		{"\U000F0001(?!a)b", "bad regular expression: characters from U+F0000 and look-ahead together are not " +
			"supported"},
		{`(a)\1`, "bad regular expression: invalid escape sequence: `\\1`"},
		{`\bword\b`, "regular expression: the assertion `\\b` is not supported"},
		{`(?m)^a$`, "regular expression: the assertion `(?m:^)` is not supported"},
		{`a{2000}`, "regular expression: invalid repeat count: `{2000}`"},
		{`(a{999}){999}`, "regular expression: invalid repeat count: `{999}`"},
		{`[b-a]`, "bad regular expression: invalid character class range: `b-a`"},
		{`(`, "bad regular expression: missing closing ): `(`"},
		{"\xff", "is not valid UTF-8"},
		{`a^b`, "no text fits"},
	} {
		if err := Check(Spec{Kind: Regex, Source: test.source}); err == nil || err.Error() != test.want {
			t.Errorf("%q: %v, want %s", test.source, err, test.want)
		}
	}
}
