package quality

import (
	"slices"
	"strconv"
	"strings"
)

// unit is what is permuted: a sentence, or a line of verse.
type unit struct {
	words          []string
	content        []string // stems
	nouns          map[string]bool
	intro          map[string]bool // stems after "a", "an", "named", "called"
	names          map[string]bool // capitalised words inside the sentence
	head           bool            // a heading
	colon          bool            // ends with a colon
	item           bool            // a list item
	ended          bool
	lower          bool // starts with a small letter
	leans          bool // opens with a connective
	pronoun        string
	additive       bool
	closer         bool
	beginner       bool
	offer          bool
	asked          bool            // opens with a word of the prompt
	strange        bool            // opens with "the X", and X is not in the prompt
	pointer        map[string]bool // stems after "this", "these", "such"
	frame          int             // -1 opens a reply or letter, 1 closes it
	subject        string          // stem of the first content word
	setting        bool
	figures        bool
	central        float64
	continues      bool // opens with a word that goes on with an open line
	bare           bool // ends without any mark
	personal       bool // holds a pronoun of the third person
	depends        bool // opens with a condition or a consequence
	late           bool // opens with a word of later time
	ever           bool
	question       bool
	quote          bool
	defines        bool
	modal          bool
	hand           int // 1 on the one hand, 2 on the other
	number         int // of numbered items and first, second, third; 0 for none
	time           int // rank of a word of time; 0 for none
	topic          float64
	facet          int     // place of the first of the prompt's subjects in it; 0 for none
	points, facets float64 // mean place of the rubric's points in it; 0 for none
	rhyme          string
	indefinite     float64
}

func (d *doc) units() []unit {
	var out []unit
	if d.form == "poem" {
		for _, l := range d.lines {
			if ws := words(l); len(ws) > 0 && len(out) < maxOrdered {
				out = append(out, newUnit(l, ws, strings.HasPrefix(l, "#") || strings.HasPrefix(l, "**")))
				out[len(out)-1].rhyme = rhymeOf(ws[len(ws)-1])
			}
		}
		return out
	}
	for _, s := range d.sentences[:min(len(d.sentences), maxOrdered)] {
		out = append(out, newUnit(s.text, s.words, s.head))
	}
	return out
}

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

// newUnit reads what the features need from a sentence.
func newUnit(text string, ws []string, head bool) unit {
	trimmed := strings.TrimSpace(text)
	low := strings.ToLower(strings.TrimLeft(trimmed, "*_#-•>\" “|"))
	u := unit{words: ws, content: contentWords(ws, nil), nouns: map[string]bool{}, intro: map[string]bool{},
		pointer: map[string]bool{}, names: map[string]bool{}}
	bare := strings.TrimRight(trimmed, "*_ ")
	u.colon = strings.HasSuffix(bare, ":")
	u.head = head && !u.colon || strings.HasPrefix(trimmed, "**") && strings.HasSuffix(trimmed, "**")
	u.item = listItem(trimmed) || strings.HasPrefix(trimmed, "|")
	u.ended = strings.HasSuffix(strings.TrimRight(bare, "\"”')"), ".") || strings.HasSuffix(bare, "!") ||
		strings.HasSuffix(bare, "?")
	u.lower = low != "" && trimmed[0] == low[0] && low[0] >= 'a' && low[0] <= 'z'
	u.leans = hasPrefixAny(low, openers)
	u.closer = hasPrefixAny(low, closers)
	switch {
	case hasPrefixAny(low, greetings):
		u.frame = -1
	case hasPrefixAny(low, farewells):
		u.frame = 1
	}
	u.beginner = hasPrefixAny(low, beginners)
	u.offer = containsAny(low, offers)
	u.depends = hasPrefixAny(low, conditions)
	u.late = hasPrefixAny(low, lates)
	u.continues = len(ws) > 0 && continuing[ws[0]]
	u.bare = bare != "" && isLetter(strings.ToLower(bare[len(bare)-1:]))
	u.question = strings.HasSuffix(bare, "?")
	u.quote = strings.ContainsAny(trimmed, "\"“”")
	u.number = ordinal(low)
	switch {
	case strings.Contains(low, "on the one hand"):
		u.hand = 1
	case strings.Contains(low, "on the other hand"):
		u.hand = 2
	}
	for i, w := range ws[:min(len(ws), 4)] { // "When they turn": a pronoun before any noun points back
		if subjects[w] && (i == 0 || third[w]) {
			u.pronoun = w
			break
		}
		if !functional(w) {
			break
		}
	}
	for _, w := range ws[:min(len(ws), 6)] {
		if !functional(w) {
			u.subject = stem(w)
			break
		}
	}
	if strings.HasPrefix(trimmed, "|") { // the rows of a table carry numbers, not an order
		u.number, ws = 0, nil
	}
	for i, w := range ws {
		u.figures = u.figures || isNumber(w)
		if (w == "this" || w == "these" || w == "those" || w == "such") && i+1 < len(ws) && !functional(ws[i+1]) {
			u.pointer[stem(ws[i+1])] = true
		}
		u.setting = u.setting || settings[w]
		u.personal = u.personal || third[w]
		u.additive = u.additive || additives[w]
		u.ever = u.ever || evers[w]
		u.modal = u.modal || modals[w]
		u.defines = u.defines || i > 0 && i < 8 && (w == "is" || w == "are" || w == "means" || w == "was") &&
			i+1 < len(ws) && (ws[i+1] == "a" || ws[i+1] == "an" || ws[i+1] == "the" || ws[i+1] == "when")
		if t := timeAt(ws, i); t > 0 {
			u.time = t
		}
		if functional(w) {
			continue
		}
		s := stem(w)
		u.nouns[s] = true
		if i == 0 {
			continue
		}
		for back := 1; back <= 2 && back <= i; back++ { // "a robot", "a small robot"
			p := ws[i-back]
			if p == "a" || p == "an" || p == "named" || p == "called" {
				u.intro[s] = true
			}
			if functional(p) {
				break
			}
		}
	}
	for _, w := range ws {
		if w == "a" || w == "an" {
			u.indefinite = min(1, u.indefinite+0.5)
		}
	}
	for i, f := range strings.Fields(trimmed) {
		f = strings.Trim(f, "*_\"“”.,;:!?()'’s")
		if i > 0 && len(f) > 2 && f[0] >= 'A' && f[0] <= 'Z' {
			u.names[stem(strings.ToLower(f))] = true
		}
	}
	return u
}

var (
	counted  = set("week weeks month months year phase step day stage")
	numbered = set("week month year day evening fortnight")
)

// timeAt ranks a word of time: hours of the day below 100, months from 100, counted weeks, steps and the like from
// 200, years from 1000; 0 for other words.
func timeAt(ws []string, i int) int {
	w := ws[i]
	if k := slices.Index(clock, w); k >= 0 {
		return k + 1
	}
	if k := slices.Index(calendar, w); k >= 0 && w != "may" && w != "march" { // these two are mostly other words
		return 100 + k
	}
	if counted[w] && i+1 < len(ws) && smallNumber(ws[i+1]) > 0 {
		return 200 + smallNumber(ws[i+1])
	}
	if numbered[w] && i > 0 && ordinal(ws[i-1]) > 0 {
		return 200 + ordinal(ws[i-1])
	}
	if year, err := strconv.Atoi(w); err == nil && year >= 1000 && year < 2100 {
		return year
	}
	return 0
}

// smallNumber reads "3" and "three"; 0 for anything else.
func smallNumber(w string) int {
	if v, ok := numberWord(w); ok {
		return int(v)
	}
	n, err := strconv.Atoi(w)
	if err != nil || n < 0 || n > 99 {
		return 0
	}
	return n
}

func containsAny(s string, list []string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return strings.Contains(s, p) })
}

// ordinal reads "1.", "2)", "first", "secondly", … at a sentence's beginning.
func ordinal(low string) int {
	for i, w := range []string{"first", "second", "third", "fourth", "fifth", "sixth"} {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(low, "the "), "my "), w) {
			return i + 1
		}
	}
	n := 0
	for i := 0; i < len(low) && i < 3; i++ {
		if isDigit(low[i]) {
			n = n*10 + int(low[i]-'0')
		} else if (low[i] == '.' || low[i] == ')' || low[i] == ':') && i > 0 {
			return n
		} else {
			return 0
		}
	}
	return 0
}

// rhymeOf is the end of a word from its last vowel group on, roughly as it sounds.
func rhymeOf(w string) string {
	w = strings.TrimRight(w, "'’s")
	w = strings.TrimSuffix(w, "e")
	i := len(w) - 1
	for i > 0 && strings.IndexByte("aeiouy", w[i]) < 0 {
		i--
	}
	for i > 0 && strings.IndexByte("aeiou", w[i-1]) >= 0 {
		i--
	}
	if i < 0 {
		return w
	}
	return strings.NewReplacer("igh", "i", "ight", "it", "ee", "ea", "ew", "ue", "oo", "ue", "ai", "a", "ay", "a",
		"ey", "a").Replace(w[i:])
}
