package quality

import (
	"slices"
	"strings"
)

// The features of the order model: what about a unit, a pair of neighbours or a pair in general speaks for its place.
const (
	firstAlone       = iota // first place: does not lean on a sentence before it
	firstNoun               // first place: does not open with a pronoun
	firstTopic              // first place: share of the prompt's subjects
	firstBeginner           // first place: opens a text
	firstIndefinite         // first place: introduces something with "a"
	firstFresh              // first place: no "also", "another", "too"
	firstHead               // first place: a heading
	firstOpen               // first place: does not close the text
	firstProse              // first place: no list item
	firstPlain              // first place: no pronoun of the third person anywhere
	lastCloser              // last place: closes the text
	lastBody                // last place: no heading
	lastOffer               // last place: an offer or a greeting
	lastLeans               // last place: leans on what came before
	lastEnded               // last place: has a full stop
	lastEver                // last place: "always", "never", "until", "home"
	lastDefinite            // last place: introduces nothing new with "a"
	nextOverlap             // neighbours share words
	nextSubject             // after a heading: a sentence that does not lean
	nextPronounNoun         // a pronoun that can point into the sentence before it
	nextPronounSame         // the same pronoun again
	nextContrastOnce        // no two contrasts in a row
	nextDefinite            // "the X" right after a sentence with X
	nextColonItem           // a list after a colon
	nextItemItem            // list items stay together
	nextHeadBody            // text after a heading
	nextQuestion            // an answer after a question
	nextQuote               // speech stays together
	nextRhyme               // rhymes stand close
	nextRunOn               // a small letter goes on with an open line
	nextNumber              // 2 after 1
	nextExample             // an example follows what it is for
	nextParallel            // neighbours begin alike
	nextTime                // the time of the one before it, or later
	beforeColon             // what announces a list before its items
	beforeIntro             // "a robot" before "the robot"
	beforeNumber            // first before second
	beforeTime              // March before May
	beforeFacet             // the prompt's subjects in the prompt's order
	beforeRubric            // the rubric's points in the rubric's order
	beforeCloser            // closing words late
	beforeBeginner          // opening words early
	beforePronoun           // pronouns as subjects late
	beforeIndefinite        // "a" early
	beforeAdditive          // "also" late
	beforeHand              // one hand before the other
	beforeDefines           // "X is a" early
	beforeTopic             // the prompt's subjects early
	beforeModal             // "should" late
	beforeIf                // conditions and consequences late
	beforeLate              // "soon", "later", "finally" late
	beforeName              // a name before the pronouns for it
	orderFeatures
)

// unit is what is permuted: a sentence, or a line of verse.
type unit struct {
	words      []string
	content    []string // stems
	nouns      map[string]bool
	intro      map[string]bool // stems after "a", "an", "named", "called"
	definite   map[string]bool // stems after "the", "this", "these", "its"
	names      map[string]bool // capitalised words inside the sentence
	head       bool            // a heading
	colon      bool            // ends with a colon
	item       bool            // a list item
	ended      bool
	lower      bool // starts with a small letter
	leans      bool // opens with a connective
	contrast   bool // opens with one of contrast
	pronoun    string
	additive   bool
	closer     bool
	beginner   bool
	offer      bool
	personal   bool // holds a pronoun of the third person
	depends    bool // opens with a condition or a consequence
	late       bool // opens with a word of later time
	ever       bool
	example    bool
	question   bool
	quote      bool
	defines    bool
	modal      bool
	hand       int // 1 on the one hand, 2 on the other
	number     int // of numbered items and first, second, third; 0 for none
	time       int // rank of a word of time; 0 for none
	topic      float64
	facet      int // place of the first of the prompt's subjects in it; 0 for none
	rubric     int // place of the first rubric point or facet in it; 0 for none
	rhyme      string
	indefinite float64
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
	contrasts   = []string{"however", "but ", "yet ", "on the other hand", "in contrast", "by contrast", "still", "nevertheless", "conversely", "unlike"}
	examplesFor = []string{"for example", "for instance", "such as", "typical", "imagine", "think about", "suppose"}
	offers      = []string{"let me know", "i hope", "feel free", "would you like", "do you want", "good luck", "enjoy", "as soon as you", "just paste", "best regards", "kind regards", "regards", "sincerely", "best,", "thank you for"}
	additives   = set("also too another other others besides again both same such still even further additionally instead either neither similarly likewise")
	evers       = set("again never always forever ever until finally last end home everyone overall ultimately still together both")
	modals      = set("should must recommend advise choose consider depends")
	subjects    = set("it they he she this these those that such its their his her him them both")
	third       = set("it they he she its their his her him them itself themselves himself herself")
	conditions  = []string{"if ", "unless", "so ", "that is why", "as a result", "in return", "in practice", "as a rule", "with ", "without", "because of", "given ", "in general", "neither", "none of", "all of", "whatever", "either way"}
	lates       = []string{"then", "soon", "later", "after", "finally", "at last", "in the end", "by the ", "since then", "from then", "from that", "that night", "that evening", "the next", "years later", "now ", "when ", "next", "until"}
	clock       = strings.Fields("dawn morning breakfast noon lunch afternoon evening dinner night midnight")
	calendar    = strings.Fields("january february march april may june july august september october november december")
)

// newUnit reads what the features need from a sentence.
func newUnit(text string, ws []string, head bool) unit {
	trimmed := strings.TrimSpace(text)
	low := strings.ToLower(strings.TrimLeft(trimmed, "*_#-•>\" “|"))
	u := unit{words: ws, content: contentWords(ws, nil), nouns: map[string]bool{}, intro: map[string]bool{}, definite: map[string]bool{}, names: map[string]bool{}}
	bare := strings.TrimRight(trimmed, "*_ ")
	u.colon = strings.HasSuffix(bare, ":")
	u.head = head && !u.colon || strings.HasPrefix(trimmed, "**") && strings.HasSuffix(trimmed, "**")
	u.item = listItem(trimmed) || strings.HasPrefix(trimmed, "|")
	u.ended = strings.HasSuffix(strings.TrimRight(bare, "\"”')"), ".") || strings.HasSuffix(bare, "!") || strings.HasSuffix(bare, "?")
	u.lower = low != "" && trimmed[0] == low[0] && low[0] >= 'a' && low[0] <= 'z'
	u.leans = hasPrefixAny(low, openers)
	u.contrast = hasPrefixAny(low, contrasts)
	u.closer = hasPrefixAny(low, closers)
	u.beginner = hasPrefixAny(low, beginners)
	u.offer = containsAny(low, offers)
	u.example = hasPrefixAny(low, examplesFor)
	u.depends = hasPrefixAny(low, conditions)
	u.late = hasPrefixAny(low, lates)
	u.question = strings.HasSuffix(bare, "?")
	u.quote = strings.ContainsAny(trimmed, "\"“”")
	u.number = ordinal(low)
	switch {
	case strings.Contains(low, "on the one hand"):
		u.hand = 1
	case strings.Contains(low, "on the other hand"):
		u.hand = 2
	}
	if len(ws) > 0 && subjects[ws[0]] {
		u.pronoun = ws[0]
	}
	if strings.HasPrefix(trimmed, "|") { // the rows of a table carry numbers, not an order
		u.number, ws = 0, nil
	}
	for i, w := range ws {
		u.personal = u.personal || third[w]
		u.additive = u.additive || additives[w]
		u.ever = u.ever || evers[w]
		u.modal = u.modal || modals[w]
		u.defines = u.defines || i > 0 && i < 8 && (w == "is" || w == "are" || w == "means" || w == "was") && i+1 < len(ws) && (ws[i+1] == "a" || ws[i+1] == "an" || ws[i+1] == "the" || ws[i+1] == "when")
		if k := slices.Index(clock, w); k >= 0 {
			u.time = k + 1
		} else if k := slices.Index(calendar, w); k >= 0 && w != "may" && w != "march" {
			u.time = 100 + k
		} else if (w == "week" || w == "weeks" || w == "month" || w == "year" || w == "phase" || w == "step" || w == "day" || w == "stage") && i+1 < len(ws) && len(ws[i+1]) <= 2 && isNumber(ws[i+1]) {
			n := 0
			for _, c := range ws[i+1] {
				n = 10*n + int(c-'0')
			}
			u.time = 200 + n
		} else if len(w) == 4 && isNumber(w) && (w[0] == '1' || w[0] == '2' && w[1] == '0') {
			u.time = 1000 + int(w[2]-'0')*10 + int(w[3]-'0') + 100*int(w[0]-'0')
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
			switch p := ws[i-back]; {
			case p == "a" || p == "an" || p == "named" || p == "called":
				u.intro[s] = true
			case p == "the" || p == "this" || p == "these" || p == "its" || p == "their" || p == "his" || p == "her":
				u.definite[s] = true
			}
			if functional(ws[i-back]) {
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
	return strings.NewReplacer("igh", "i", "ight", "it", "ee", "ea", "ew", "ue", "oo", "ue", "ai", "a", "ay", "a", "ey", "a").Replace(w[i:])
}

// orderModel holds what does not change under permutation.
type orderModel struct {
	units  []unit
	verse  bool
	shared [][]float64 // lexical overlap between units
	// Tables of log-weights; see weigh.
	first, last, next, before []float64
}

func newOrderModel(d *doc, units []unit) *orderModel {
	m := &orderModel{units: units, verse: d.form == "poem"}
	about := contentWords(d.prompt, asking)
	for i := range units {
		u := &units[i]
		for k, s := range about {
			if u.nouns[s] {
				u.topic += 1 / float64(len(about))
				if u.facet == 0 {
					u.facet = k + 1
				}
			}
		}
		if r := d.in.Rubric; r != nil {
			one := &doc{words: u.words, roots: stemAll(u.words)}
			points := r.Facets
			if len(points) < 2 {
				points = r.Points
			}
			for k, p := range points {
				if u.rubric == 0 && one.mentions(p.Any, 1) > 0 {
					u.rubric = k + 1
				}
			}
		}
	}
	m.shared = make([][]float64, len(units))
	for i := range units {
		m.shared[i] = make([]float64, len(units))
		for j := range i {
			n := 0
			for s := range units[i].nouns {
				if units[j].nouns[s] {
					n++
				}
			}
			m.shared[i][j] = min(1, float64(n)/3)
			m.shared[j][i] = m.shared[i][j]
		}
	}
	return m
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *orderModel) firstFeatures(i int, add func(int, float64)) {
	u := &m.units[i]
	add(firstAlone, -is(u.leans && !u.beginner))
	add(firstNoun, -is(u.pronoun != ""))
	add(firstTopic, u.topic)
	add(firstBeginner, is(u.beginner))
	add(firstIndefinite, u.indefinite)
	add(firstFresh, -is(u.additive))
	add(firstHead, is(u.head))
	add(firstOpen, -is(u.closer || u.offer))
	add(firstProse, -is(u.item))
	add(firstPlain, -is(u.personal))
}

func (m *orderModel) lastFeatures(i int, add func(int, float64)) {
	u := &m.units[i]
	add(lastCloser, is(u.closer))
	add(lastBody, -is(u.head || u.colon))
	add(lastOffer, is(u.offer))
	add(lastLeans, is(u.leans))
	add(lastEnded, is(u.ended))
	add(lastEver, is(u.ever))
	add(lastDefinite, -u.indefinite)
}

func (m *orderModel) nextFeatures(i, j int, add func(int, float64)) {
	a, b := &m.units[i], &m.units[j]
	add(nextOverlap, m.shared[i][j])
	add(nextSubject, -is((b.leans || b.pronoun != "") && (a.head || a.colon) && !m.verse))
	add(nextPronounNoun, is(b.pronoun != "" && agrees(b.pronoun, a)))
	add(nextPronounSame, is(b.pronoun != "" && b.pronoun == a.pronoun))
	add(nextContrastOnce, -is(a.contrast && b.contrast))
	definite := 0
	for s := range b.definite {
		if a.nouns[s] {
			definite++
		}
	}
	add(nextDefinite, min(1, float64(definite)))
	add(nextColonItem, is(a.colon && b.item)-is(a.colon && !b.item))
	add(nextItemItem, is(a.item && b.item))
	add(nextHeadBody, -is(a.head && (b.head || b.colon)))
	add(nextQuestion, is(a.question && !b.question))
	add(nextQuote, is(a.quote && b.quote))
	add(nextRhyme, is(a.rhyme != "" && a.rhyme == b.rhyme))
	add(nextRunOn, is(!a.ended && b.lower)-is(a.ended && b.lower))
	add(nextNumber, is(b.number > 1 && b.number == a.number+1))
	add(nextExample, -is(b.example && (a.head || a.example)))
	add(nextParallel, is(len(a.words) > 1 && len(b.words) > 1 && a.words[0] == b.words[0] && !third[a.words[0]]))
	add(nextTime, sameClock(a.time, b.time))
}

// agrees reports whether a pronoun that opens a sentence can point into the one before it.
func agrees(pronoun string, a *unit) bool {
	switch pronoun {
	case "he", "his", "him":
		return a.has("he", "his", "him", "man", "boy", "father", "brother", "king") || len(a.names) > 0
	case "she", "her":
		return a.has("she", "her", "woman", "girl", "mother", "grandmother", "sister") || len(a.names) > 0
	case "they", "their", "them", "these", "those", "both":
		return a.pronoun == "they" || slices.ContainsFunc(a.words, func(w string) bool {
			return len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && !functional(w) || w == "people" || w == "they" || w == "their"
		})
	}
	return true
}

func (u *unit) has(list ...string) bool {
	return slices.ContainsFunc(u.words, func(w string) bool { return slices.Contains(list, w) })
}

func (m *orderModel) beforeFeatures(i, j int, add func(int, float64)) {
	a, b := &m.units[i], &m.units[j]
	per := 1 / float64(len(m.units)-1) // a unit's pairs together weigh as much as one
	n := 0
	for s := range a.intro {
		if b.nouns[s] && !b.intro[s] {
			n++
		}
	}
	back := 0
	for s := range b.intro {
		if a.nouns[s] && !a.intro[s] {
			back++
		}
	}
	add(beforeIntro, min(1, float64(n))-min(1, float64(back)))
	add(beforeColon, (is(a.colon && b.item)-is(a.item && b.colon))*per)
	add(beforeNumber, sign(a.number, b.number))
	add(beforeTime, sameClock(a.time, b.time))
	add(beforeFacet, sign(a.facet, b.facet)*per)
	add(beforeRubric, sign(a.rubric, b.rubric)*per)
	add(beforeCloser, (is(b.closer || b.offer)-is(a.closer || a.offer))*per)
	add(beforeBeginner, (is(a.beginner)-is(b.beginner))*per)
	add(beforePronoun, (is(b.pronoun != "")-is(a.pronoun != ""))*per)
	add(beforeIndefinite, (a.indefinite-b.indefinite)*per)
	add(beforeAdditive, (is(b.additive)-is(a.additive))*per)
	add(beforeHand, is(a.hand == 1 && b.hand == 2)-is(a.hand == 2 && b.hand == 1))
	add(beforeDefines, (is(a.defines)-is(b.defines))*per)
	add(beforeTopic, (a.topic-b.topic)*per)
	add(beforeModal, (is(b.modal)-is(a.modal))*per)
	add(beforeIf, (is(b.depends)-is(a.depends))*per)
	add(beforeLate, (is(b.late)-is(a.late))*per)
	add(beforeName, (is(len(a.names) > 0 && b.personal)-is(len(b.names) > 0 && a.personal))*per)
}

// sign is 1 where a comes before b in a count that both have, -1 where it comes after.
func sign(a, b int) float64 {
	switch {
	case a == 0 || b == 0 || a == b:
		return 0
	case a < b:
		return 1
	}
	return -1
}

// sameClock compares two times of the same kind: hours, months, weeks, years.
func sameClock(a, b int) float64 {
	kind := func(t int) int { return min(t/100, 10) }
	if kind(a) != kind(b) {
		return 0
	}
	return sign(a, b)
}
