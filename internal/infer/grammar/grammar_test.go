package grammar

import (
	"strings"
	"testing"
)

func TestGBNF(t *testing.T) {
	v, _ := vocabulary(t, 600)
	for _, test := range []struct {
		name, source string
		yes, not     []string
	}{
		{"texts, classes, counts", "# a comment\nroot ::= greeting (\", \" name){1,2} \"!\" # another\r\n" +
			"greeting ::= \"hello\" |\n   [Hh] \"i\"\nname ::= [^ \\n,!]+\n",
			[]string{"hello, x!", "Hi, a, b!", "hi, é!"}, []string{"hello!", "hi, a, b, c!", "hi, a b!", "hi,a!"}},
		{"groups over lines", "root ::= (\n \"a\"\n | \"b\" # c\n)*\n", []string{"", "abba"}, []string{"c"}},
		{"escapes", `root ::= "\x41\u00e9\U0001F600\n\t\r\\\"\[\]" [\]\-x\x30-\x39]`,
			[]string{"Aé😀\n\t\r\\\"[]]", "Aé😀\n\t\r\\\"[]5", "Aé😀\n\t\r\\\"[]x"}, []string{"Aé😀\n\t\r\\\"[]y"}},
		{"open counts", `root ::= "a"{2,} "b"{,2} "c"{2} "d"{0} .`, []string{"aaccx", "aaaabbcc日"},
			[]string{"accx", "aabbbccx", "aacc", "aaccdx"}},
		{"repeat of repeat", `root ::= ("a"+ "b"?){2} "."?`, []string{"aa", "abab."}, []string{"a", "b"}},
		{"recursion", "root ::= \"(\" root? \")\" | \"[\" root* \"]\"", []string{"()", "(([][]))", "[()[()]]"}[:1],
			[]string{"(", "(]"}},
		{"right recursion", "root ::= item \",\" root | item\nitem ::= [0-9]+", []string{"1", "1,22,333"},
			[]string{"1,", ",1"}},
		{"left recursion", "root ::= root \"+\" term | root \"-\" term | term\nterm ::= [0-9] | \"(\" root \")\"",
			[]string{"1", "1+2-3", "(1+2)-3"}, []string{"+1", "1+", "(1"}},
		{"indirect left recursion", "root ::= call | \"f\"\ncall ::= root \"()\" | call \"[]\"", []string{"f", "f()",
			"f()()[]()"}, []string{"()", "f[]"}},
		{"names", "root ::= my-rule_2\nmy-rule_2 ::= \"\" \"x\"", []string{"x"}, []string{""}},
		{"nullable", "root ::= a b\na ::= \"a\"?\nb ::= a{1,3}", []string{"", "a", "aaaa"}, []string{"aaaaa"}},
	} {
		hasOnly(t, compile(t, v, GBNF, test.source), test.name, test.yes, test.not)
	}
}

func TestLark(t *testing.T) {
	v, _ := vocabulary(t, 600)
	for _, test := range []struct {
		name, source string
		yes, not     []string
	}{
		{"rules and terminals",
			"start: greeting (\",\" NAME)~1..2 \"!\"i\n?greeting: \"hello\" -> long\n  | /[Hh]i/\n" +
				"NAME.2: LETTER+ // comment\n%import common.LETTER\n%ignore \" \"",
			[]string{"hello,x!", "Hi , a, b !", " hi,a!"}, []string{"hello!", "hi,a,b,c!", "h i,a!"}},
		{"calculator", "?start: sum\n?sum: product | sum \"+\" product -> add | sum \"-\" product\n" +
			"?product: atom | product \"*\" atom\n?atom: NUMBER | \"-\" atom | \"(\" sum \")\"\n%import " +
			"common.NUMBER\n" +
			"%import common.WS_INLINE\n%ignore WS_INLINE\n", []string{"1", "1+2*3", "-(1.5e3 + 2) * 4"},
			[]string{"1+", "(1", "1 2"}},
		{"optional, range, flags", "start: [\"a\"..\"c\"] /x.y/s 'q'?\n", []string{"bx\ny", "xzyq"}, []string{"dxzy",
			"xy"}},
		{"imports",
			"%import common (INT, ESCAPED_STRING)\n%import common.CNAME -> ID\nstart: INT | ESCAPED_STRING | ID\n",
			[]string{"12", `"a\"b"`, "x_1"}, []string{"1x", `"`}},
		{"alternatives on lines", "start: \"x\"\n  | \"a\"\n  | \"b\" \"c\"\n\nother: | \"z\"\n", []string{"x", "a",
			"bc"}, []string{"", "z"}},
	} {
		hasOnly(t, compile(t, v, EBNF, test.source), test.name, test.yes, test.not)
	}
}

// TestLarkCommon: what Lark's library says, by examples.
func TestLarkCommon(t *testing.T) {
	v, _ := vocabulary(t, 600)
	examples := map[string][2]string{
		"DIGIT": {"7", "77"}, "HEXDIGIT": {"f", "g"}, "INT": {"12", "-1"}, "SIGNED_INT": {"-12", "--1"},
		"DECIMAL": {"1.", "1"},
		"FLOAT":   {"1e5", "1"}, "SIGNED_FLOAT": {"-.5", "-5"}, "NUMBER": {"12.5e-3", "-1"}, "SIGNED_NUMBER": {"+1",
			"1-"},
		"ESCAPED_STRING": {`"\n"`, "\"\n\""}, "LCASE_LETTER": {"a", "A"}, "UCASE_LETTER": {"A", "a"},
		"LETTER": {"q", "é"},
		"WORD":   {"ab", "a1"}, "CNAME": {"_a1", "1a"}, "WS_INLINE": {" \t", "\n"}, "WS": {" \n", ""}, "CR": {"\r",
			"\n"}, "LF": {"\n", "\r"},
		"NEWLINE": {"\r\n\n", "\r"}, "SH_COMMENT": {"# x", "x"}, "CPP_COMMENT": {"//x", "/x"}, "SQL_COMMENT": {"--x",
			"-x"},
		"C_COMMENT": {"/* * **/", "/* */ */"},
	}
	for name := range larkCommon {
		g := compile(t, v, Lark, "start: "+name+"\n%import common."+name)
		example, ok := examples[name]
		if !ok || !accepts(t, g, example[0]) || accepts(t, g, example[1]) {
			t.Errorf("%s: %q", name, example)
		}
	}
}

func TestGrammarErrors(t *testing.T) {
	for _, test := range []struct {
		kind         Kind
		source, want string
	}{
		{GBNF, "", `no rule is called "root", where every text begins`},
		{GBNF, "root ::= x", `line 1, column 10: no rule is called "x"`},
		{GBNF, "root ::= \"a\"\nroot ::= \"b\"", `line 2, column 1: rule "root" is defined twice`},
		{GBNF, "root ::= \"a", "line 1, column 10: the text has no end"},
		{GBNF, "root ::= [a", "line 1, column 10: the class has no end"},
		{GBNF, "root ::= [b-a]", `line 1, column 11: the range "b-a" has its ends in the wrong order`},
		{GBNF, "root ::= (\"a\"", `line 1, column 14: must be ")", got the end`},
		{GBNF, "root ::= \"a\" )", `line 1, column 14: must be the end of rule "root", got ")"`},
		{GBNF, "root = \"a\"", `line 1, column 6: must be "::=" behind "root", got "="`},
		{GBNF, "root ::= * \"a\"", `line 1, column 10: there is nothing before "*" to repeat`},
		{GBNF, "root ::= \"a\"{3,2}", `line 1, column 13: the counts "{3,2}" are in the wrong order`},
		{GBNF, "root ::= \"a\"{x}", `line 1, column 14: must be a number, got "x"`},
		{GBNF, "root ::= \"\\q\"", `line 1, column 11: unknown escape "\\q"`},
		{GBNF, "root ::= \"\\ud800\"", `line 1, column 11: escape "\\ud800" is not a character`},
		{GBNF, "root ::= <[5]>", "line 1, column 10: tokens in a grammar are not supported, only texts"},
		{GBNF, "root ::= root", `no text fits: rule "root" can never end, or not within 200 levels of nesting`},
		{GBNF, "root ::= \"a\" root", `no text fits: rule "root" can never end, or not within 200 levels of nesting`},
		{Lark, "a: \"b\"", `no rule is called "start", where every text begins`},
		{Lark, "start: a{b}", "line 1, column 9: must be the end of the line, got \"{\""},
		{Lark, "%declare X", "line 1, column 1: %declare is not supported"},
		{Lark, "start: X\n%import common.X", `line 2, column 9: the library common has no "X"`},
		{Lark, "start: /a(?<=b)/",
			"line 1, column 8: bad regular expression: look-around and other groups of Perl are not supported: " +
				"`(?<=b)`"},
		{Lark, "start: /a/x", `line 1, column 11: the flag "x" is not supported`},
		{Lark, "start: \"ab\"..\"c\"",
			`line 1, column 8: a range must be from one character to a later one, got "ab" to "c"`},
		{Choice, "", "must list at least one choice"},
		{"poem", "", `unknown kind of grammar "poem"`},
		{GBNF, "root ::= \"\xff\"", "is not valid UTF-8"},
	} {
		if err := Check(Spec{Kind: test.kind, Source: test.source}); err == nil || err.Error() != test.want {
			t.Errorf("%q:\n got %v\nwant %s", test.source, err, test.want)
		}
	}
}

func TestChoices(t *testing.T) {
	v, _ := vocabulary(t, 600)
	g, err := Compile(Spec{Kind: Choice, Choices: []string{"yes", "yes please", "no", "日本"}}, v)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"yes", "yes please", "no", "日本"} {
		if !accepts(t, g, c) {
			t.Errorf("%q is missing", c)
		}
	}
	if accepts(t, g, "ye") || accepts(t, g, "") || accepts(t, g, "yesno") {
		t.Error("other texts are there")
	}
}

// TestDeepNesting: a text may nest to a limit, and can be finished wherever it stands.
func TestDeepNesting(t *testing.T) {
	v, _ := vocabulary(t, 600)
	g := compile(t, v, GBNF, `root ::= "(" root ")" | "[" root root "]" | "."`)
	deep := func(n int) string { return strings.Repeat("(", n) + "." + strings.Repeat(")", n) }
	if !accepts(t, g, deep(maxDepth-1)) {
		t.Error("a text of fewer levels is missing")
	}
	s, err := g.follow(g.m.start, []byte(strings.Repeat("(", maxDepth)))
	if err != nil || s == g.m.dead {
		t.Fatalf("%v", err)
	}
	if to, _ := g.follow(s, []byte("(")); to != g.m.dead {
		t.Error("there is no limit of levels")
	}
	if end, _ := g.follow(s, []byte("."+strings.Repeat(")", maxDepth))); !end.accept {
		t.Error("the deepest text cannot be finished")
	}
}
