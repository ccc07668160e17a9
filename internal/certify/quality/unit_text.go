package quality

import "strings"

// unitText is the text of a unit in the forms that the marks need.
type unitText struct {
	text  string   // without spaces around it
	low   string   // in lower case, without signs at its beginning
	bare  string   // without signs of emphasis at its end
	words []string // all words, in order
	body  []string // the same, but none for the row of a table, where they say nothing about order
	title bool     // marked as a heading in Markdown
	row   bool     // it is a row of a table
}

func newUnitText(text string, ws []string, title bool) *unitText {
	s := &unitText{text: strings.TrimSpace(text), words: ws, body: ws, title: title}
	s.low = strings.ToLower(strings.TrimLeft(s.text, "*_#-•>\" “|"))
	s.bare = strings.TrimRight(s.text, "*_ ")
	if s.row = strings.HasPrefix(s.text, "|"); s.row {
		s.body = nil
	}
	return s
}

// mark names a yes-or-no feature of a sentence.
type mark int

// The marks. markTable explains each.
const (
	markHead mark = iota
	markColon
	markItem
	markEnded
	markLower
	markLeans
	markAdditive
	markCloser
	markBeginner
	markOffer
	markSetting
	markFigures
	markContinues
	markBare
	markPersonal
	markDepends
	markLate
	markEver
	markQuestion
	markQuote
	markDefines
	markModal
	markCount
)

// marks are the features of one sentence.
type marks [markCount]bool

// markTable has every mark: its meaning, and the function that finds it.
var markTable = [markCount]struct {
	says string
	find func(*unitText) bool
}{
	markHead:      {"It is a heading.", (*unitText).heading},
	markColon:     {"It ends with a colon, and so announces what follows.", (*unitText).colon},
	markItem:      {"It is an item of a list or a row of a table.", (*unitText).item},
	markEnded:     {"It ends with a full stop, an exclamation mark or a question mark.", (*unitText).ended},
	markLower:     {"It starts with a small letter, and so goes on with another line.", (*unitText).lower},
	markLeans:     {"It opens with a connective that needs a sentence before it.", opensWith(openers)},
	markAdditive:  {"It adds to something said before, with a word such as also.", holds(additives)},
	markCloser:    {"It opens with words that close a text.", opensWith(closers)},
	markBeginner:  {"It opens with words that begin a text.", opensWith(beginners)},
	markOffer:     {"It is an offer or a greeting to the reader.", (*unitText).offer},
	markSetting:   {"It has a word that sets the scene of a story.", holds(settings)},
	markFigures:   {"It has a number.", func(s *unitText) bool { return anyWord(s.body, isNumber) }},
	markContinues: {"It opens with a word that goes on with an open line of verse.", (*unitText).continues},
	markBare:      {"It ends without any mark.", (*unitText).unmarked},
	markPersonal:  {"It has a pronoun of the third person.", holds(third)},
	markDepends:   {"It opens with a condition or a consequence.", opensWith(conditions)},
	markLate:      {"It opens with a word of later time.", opensWith(lates)},
	markEver:      {"It has a word of endings, such as always, finally or home.", holds(evers)},
	markQuestion:  {"It is a question.", func(s *unitText) bool { return strings.HasSuffix(s.bare, "?") }},
	markQuote:     {"It has speech or a quotation.", (*unitText).quote},
	markDefines:   {"It says what something is.", (*unitText).defines},
	markModal:     {"It recommends or weighs, with a word such as should.", holds(modals)},
}

// marks finds every mark.
func (s *unitText) marks() (m marks) {
	for i, f := range markTable {
		m[i] = f.find(s)
	}
	return m
}

func opensWith(list []string) func(*unitText) bool {
	return func(s *unitText) bool { return hasPrefixAny(s.low, list) }
}

func holds(list map[string]bool) func(*unitText) bool {
	return func(s *unitText) bool { return anyWord(s.body, func(w string) bool { return list[w] }) }
}

func anyWord(ws []string, is func(string) bool) bool {
	for _, w := range ws {
		if is(w) {
			return true
		}
	}
	return false
}

func (s *unitText) item() bool { return listItem(s.text) || s.row }

func (s *unitText) offer() bool { return containsAny(s.low, offers) }

func (s *unitText) quote() bool { return strings.ContainsAny(s.text, "\"“”") }

func (s *unitText) colon() bool { return strings.HasSuffix(s.bare, ":") }

func (s *unitText) heading() bool {
	return s.title && !s.colon() || strings.HasPrefix(s.text, "**") && strings.HasSuffix(s.text, "**")
}

func (s *unitText) ended() bool {
	return strings.HasSuffix(strings.TrimRight(s.bare, "\"”')"), ".") || strings.HasSuffix(s.bare, "!") ||
		strings.HasSuffix(s.bare, "?")
}

func (s *unitText) lower() bool {
	return s.low != "" && s.text[0] == s.low[0] && s.low[0] >= 'a' && s.low[0] <= 'z'
}

func (s *unitText) continues() bool { return len(s.words) > 0 && continuing[s.words[0]] }

func (s *unitText) unmarked() bool {
	return s.bare != "" && isLetter(strings.ToLower(s.bare[len(s.bare)-1:]))
}

// defines finds "X is a", "X means the" near the beginning.
func (s *unitText) defines() bool {
	ws := s.body
	for i := 1; i < min(len(ws)-1, 8); i++ {
		if w := ws[i]; w != "is" && w != "are" && w != "means" && w != "was" {
			continue
		}
		if next := ws[i+1]; next == "a" || next == "an" || next == "the" || next == "when" {
			return true
		}
	}
	return false
}

// frame is -1 for the opening of a reply or letter, 1 for its end, and 0 for anything else.
func (s *unitText) frame() int {
	switch {
	case hasPrefixAny(s.low, greetings):
		return -1
	case hasPrefixAny(s.low, farewells):
		return 1
	}
	return 0
}

func (s *unitText) hand() int {
	switch {
	case strings.Contains(s.low, "on the one hand"):
		return 1
	case strings.Contains(s.low, "on the other hand"):
		return 2
	}
	return 0
}

// pronoun is the pronoun with which the sentence opens. Others may come before it, but no noun: "When they turn"
// points back too.
func (s *unitText) pronoun() string {
	for i, w := range s.words[:min(len(s.words), 4)] {
		if subjects[w] && (i == 0 || third[w]) {
			return w
		}
		if !functional(w) {
			break
		}
	}
	return ""
}

// subject is the stem of the first content word.
func (s *unitText) subject() string {
	for _, w := range s.words[:min(len(s.words), 6)] {
		if !functional(w) {
			return stem(w)
		}
	}
	return ""
}

// names are the capitalised words inside the sentence.
func (s *unitText) names() map[string]bool {
	out := map[string]bool{}
	for i, f := range strings.Fields(s.text) {
		f = strings.Trim(f, "*_\"“”.,;:!?()'’s")
		if i > 0 && len(f) > 2 && f[0] >= 'A' && f[0] <= 'Z' {
			out[stem(strings.ToLower(f))] = true
		}
	}
	return out
}

// Words and phrases that the marks look for.
var (
	offers = []string{"let me know", "i hope", "feel free", "would you like", "do you want", "good luck", "enjoy",
		"as soon as you", "just paste", "best regards", "kind regards", "regards", "sincerely", "best,",
		"thank you for"}
	greetings = []string{"sure,", "sure!", "certainly", "of course!", "of course,", "here is a", "here's a",
		"here are", "absolutely", "i'd be happy to", "dear ", "hi ", "hello", "subject:", "title:",
		"executive summary", "introduction", "once upon a time"}
	farewells = []string{"in conclusion", "in summary", "to conclude", "to sum up", "to summarize", "all in all",
		"overall,", "conclusion", "verdict", "best regards", "kind regards", "regards", "sincerely", "best wishes",
		"yours", "enjoy", "good luck", "let me know", "i hope this", "the end", "feel free"}
	additives = set("also too another other others besides again both same such still even further additionally " +
		"instead either neither similarly likewise")
	evers = set("again never always forever ever until finally last end home everyone overall ultimately " +
		"still together both")
	modals     = set("should must recommend advise choose consider depends")
	subjects   = set("it they he she this these those that such its their his her him them both")
	continuing = set("and but or nor that which who whose with of to in on from where when as for like by through " +
		"until while than")
	settings   = set("there had lived was began never nobody since years used every")
	third      = set("it they he she its their his her him them itself themselves himself herself")
	conditions = []string{"if ", "unless", "so ", "that is why", "as a result", "in return", "in practice",
		"as a rule", "with ", "without", "because of", "given ", "in general", "neither", "none of", "all of",
		"whatever", "either way"}
	lates = []string{"then", "soon", "later", "after", "finally", "at last", "in the end", "by the ",
		"since then", "from then", "from that", "that night", "that evening", "the next", "years later", "now ",
		"when ", "next", "until"}
	clock    = strings.Fields("dawn morning breakfast noon lunch afternoon evening dinner night midnight")
	calendar = strings.Fields("january february march april may june july august september october november " +
		"december")
)
