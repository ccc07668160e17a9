package quality

import (
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

// The features of the order model. Each is evidence for the place of a unit, of two neighbours, or of two units in
// general.
const (
	firstAlone       = iota // first place: does not refer to a sentence before it
	firstNoun               // first place: does not open with a pronoun
	firstTopic              // first place: share of the prompt's subjects
	firstAsked              // first place: opens with a subject of the prompt
	firstBeginner           // first place: opens a text
	firstHead               // first place: a heading
	firstProse              // first place: no list item
	firstGiven              // first place: no "the X" that the prompt does not mention
	firstPlain              // first place: no pronoun of the third person anywhere
	firstCentral            // first place: its words recur in other units
	firstSetting            // first place of a story: "there was", "had", "lived"
	firstWhole              // first place: no figures
	lastBody                // last place: no heading
	lastOffer               // last place: an offer or a greeting
	lastEnded               // last place: has a full stop
	lastEver                // last place: "always", "never", "until", "home"
	nextOverlap             // neighbours share words
	nextChain               // opens with a subject of the previous unit
	nextChainTail           // opens with a subject at the end of the previous unit
	nextSubject             // after a heading: a sentence that does not refer back
	nextPronounNoun         // a pronoun that can refer to the previous unit
	nextPronounSame         // the same pronoun again
	nextColonItem           // a list after a colon
	nextItemItem            // list items stay together
	nextHeadBody            // text after a heading
	nextQuestion            // an answer after a question
	nextQuote               // speech stays together
	nextRhyme               // rhymes are close together
	nextRunOn               // a line without an end is continued in lower case
	nextTime                // a later time than in the previous unit
	nextContinue            // an open line of verse is continued with "and", "that", "of"
	nextPointer             // "this X" directly after X
	skipRhyme               // a rhyme with the line before the previous one
	beforeColon             // the announcement of a list before its items
	beforeIntro             // "a robot" before "the robot"
	beforeQuote             // speech late, in a story
	beforeNumber            // first before second
	beforeTime              // March before May
	beforeFacet             // the prompt's subjects in the prompt's order
	beforePoint             // the rubric's points in the rubric's order
	beforeAspect            // the rubric's facets in the rubric's order
	beforeCloser            // closing words late
	beforeBeginner          // opening words early
	beforeFrame             // "Sure", "Dear" before everything, "in conclusion", "Regards" after everything
	beforeIndefinite        // "a" early
	beforeAdditive          // "also" late
	beforeHand              // one hand before the other
	beforeDefines           // "X is a" early
	beforeModal             // "should" late
	beforeIf                // conditions and consequences late
	beforeLate              // "soon", "later", "finally" late
	beforeName              // a name before the pronouns for it
	beforeCentral           // words that recur early
	beforePointer           // "this X" late
	orderFeatures
)

// orderModel has what does not depend on the order.
type orderModel struct {
	units    []unit
	story    bool
	verse    bool
	restarts bool        // numbers start again, so the text has more than one numbered list
	shared   [][]float64 // lexical overlap between units
	// Tables of log-weights; see weigh.
	first, last, next, skip, before []float64
}

func newOrderModel(d *doc, units []unit) *orderModel {
	m := &orderModel{units: units, verse: d.form == "poem", story: d.form == "story"}
	about := contentWords(d.prompt, asking)
	used := map[int]bool{}
	for _, u := range units {
		m.restarts = m.restarts || u.number > 0 && used[u.number]
		used[u.number] = true
	}
	// A name must occur inside a sentence somewhere, because every word at the beginning of a sentence is capitalised.
	names := map[string]bool{}
	for _, u := range units {
		for s := range u.names {
			names[s] = true
		}
	}
	asked := map[string]bool{}
	for _, w := range d.prompt {
		asked[stem(w)] = true
	}
	for i := range units {
		u := &units[i]
		u.asked = slices.Contains(about, u.subject)
		if d.form == "comparison" && len(u.words) > 1 && (u.words[0] == "both" || u.words[0] == "the" &&
			u.words[1] == "two") {
			// "both" means the subjects that the prompt compares
			u.asked, u.marks[markLeans], u.pronoun, u.topic = true, false, "", 1
		}
		if len(u.words) > 1 && (u.words[0] == "the" || u.words[0] == "those" || u.words[0] == "these") {
			u.strange = !asked[stem(u.words[1])] && !(d.form == "comparison" && contrasted(u.words))
		}
		for k, s := range about {
			if u.nouns[s] && u.topic < 1 {
				u.topic += 1 / float64(len(about))
				if u.facet == 0 {
					u.facet = k + 1
				}
			}
		}
		if r := d.in.Rubric; r != nil {
			one := &doc{words: u.words, roots: stemAll(u.words)}
			u.points, u.facets = one.meanRank(r.Points), one.meanRank(r.Facets)
		}
		if len(u.words) > 0 && names[u.subject] && u.subject == stem(u.words[0]) {
			u.names[u.subject] = true
		}
	}
	for i := range units {
		n := 0
		for s := range units[i].nouns {
			for j := range units {
				if j != i && units[j].nouns[s] {
					n++
					break
				}
			}
		}
		units[i].central = float64(n) / float64(len(units[i].nouns)+2)
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

// contrasted reports whether a sentence opens with the difference or similarity that a comparison is about.
func contrasted(ws []string) bool {
	return slices.ContainsFunc(ws[:min(len(ws), 4)], func(w string) bool {
		return strings.HasPrefix(w, "differ") || strings.HasPrefix(w, "similar") || w == "contrast" ||
			w == "distinction"
	})
}

func is(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *orderModel) firstFeatures(i int, add func(int, float64)) {
	u := &m.units[i]
	add(firstAlone, -is(u.marks[markLeans] && !u.marks[markBeginner]))
	add(firstNoun, -is(u.pronoun != ""))
	add(firstTopic, u.topic)
	add(firstAsked, is(u.asked))
	add(firstBeginner, is(u.marks[markBeginner]))
	add(firstHead, is(u.marks[markHead]))
	add(firstGiven, -is(u.strange))
	add(firstProse, -is(u.marks[markItem]))
	add(firstCentral, u.central)
	add(firstSetting, is(m.story && u.marks[markSetting]))
	add(firstWhole, -is(u.marks[markFigures] && u.number == 0))
	add(firstPlain, -is(u.marks[markPersonal]))
}

func (m *orderModel) lastFeatures(i int, add func(int, float64)) {
	u := &m.units[i]
	add(lastBody, -is(u.marks[markHead] || u.marks[markColon]))
	add(lastOffer, is(u.marks[markOffer]))
	add(lastEnded, is(u.marks[markEnded]))
	add(lastEver, is(u.marks[markEver]))
}

func (m *orderModel) nextFeatures(i, j int, add func(int, float64)) {
	a, b := &m.units[i], &m.units[j]
	add(nextOverlap, m.shared[i][j])
	add(nextChain, is(b.subject != "" && a.nouns[b.subject]))
	add(nextChainTail, is(b.subject != "" && slices.Contains(a.content[max(0, len(a.content)-3):], b.subject)))
	announces := a.marks[markHead] || a.marks[markColon]
	add(nextSubject, -is((b.marks[markLeans] || b.pronoun != "") && announces && !m.verse))
	add(nextPronounNoun, is(b.pronoun != "" && agrees(b.pronoun, a)))
	add(nextPronounSame, is(b.pronoun != "" && b.pronoun == a.pronoun))
	add(nextColonItem, is(a.marks[markColon] && b.marks[markItem])-is(a.marks[markColon] && !b.marks[markItem]))
	add(nextItemItem, is(a.marks[markItem] && b.marks[markItem]))
	add(nextHeadBody, -is(a.titles() && b.titles()))
	add(nextQuestion, is(a.marks[markQuestion] && !b.marks[markQuestion]))
	add(nextQuote, is(a.marks[markQuote] && b.marks[markQuote]))
	add(nextRhyme, is(a.rhyme != "" && a.rhyme == b.rhyme))
	add(nextRunOn, is(!a.marks[markEnded] && b.marks[markLower])-is(a.marks[markEnded] && b.marks[markLower]))
	if m.verse {
		goes := b.marks[markContinues]
		add(nextContinue, is(a.marks[markBare] && goes)-is(a.marks[markEnded] && goes))
	}
	pointed := 0.0
	for s := range b.pointer {
		if a.nouns[s] {
			pointed = 1
		}
	}
	add(nextPointer, pointed)
	add(nextTime, sameClock(a.time, b.time))
}

// closes says whether a unit belongs at the end of a text.
func (u *unit) closes() bool { return u.marks[markCloser] || u.marks[markOffer] }

// titles says whether a unit is a heading, or a few words with a colon.
func (u *unit) titles() bool {
	return u.marks[markHead] || u.marks[markColon] && len(u.words) < 5
}

// skipFeatures are about two units with one between them.
func (m *orderModel) skipFeatures(i, j int, add func(int, float64)) {
	a, b := &m.units[i], &m.units[j]
	add(skipRhyme, is(a.rhyme != "" && a.rhyme == b.rhyme))
}

// agrees reports whether a pronoun that opens a sentence can refer to unit a.
func agrees(pronoun string, a *unit) bool {
	switch pronoun {
	case "he", "his", "him":
		return a.has("he", "his", "him", "man", "boy", "father", "brother", "king") || len(a.names) > 0
	case "she", "her":
		return a.has("she", "her", "woman", "girl", "mother", "grandmother", "sister") || len(a.names) > 0
	case "they", "their", "them", "these", "those", "both":
		return a.pronoun == "they" || slices.ContainsFunc(a.words, func(w string) bool {
			return len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && !functional(w) ||
				w == "people" || w == "they" || w == "their"
		})
	}
	return true
}

func (u *unit) has(list ...string) bool {
	return slices.ContainsFunc(u.words, func(w string) bool { return slices.Contains(list, w) })
}

func (m *orderModel) beforeFeatures(i, j int, add func(int, float64)) {
	a, b := &m.units[i], &m.units[j]
	per := 1 / float64(len(m.units)-1) // all pairs of a unit together have the weight of one
	near := min(1, 6*per)              // in a long text a single pair counts less
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
	add(beforeIntro, (min(1, float64(n))-min(1, float64(back)))*near)
	add(beforeColon, (is(a.marks[markColon] && b.marks[markItem])-is(a.marks[markItem] && b.marks[markColon]))*per)
	if !m.restarts {
		add(beforeNumber, sign(a.number, b.number)*near)
	}
	add(beforeTime, sameClock(a.time, b.time)*near)
	add(beforeFacet, sign(a.facet, b.facet)*per)
	if m.story {
		add(beforeQuote, (is(b.marks[markQuote])-is(a.marks[markQuote]))*per)
	}
	add(beforePoint, ahead(a.points, b.points)*per)
	add(beforeAspect, ahead(a.facets, b.facets)*per)
	add(beforeCloser, (is(b.closes())-is(a.closes()))*per)
	add(beforeFrame, float64(b.frame-a.frame)/2*near)
	add(beforeBeginner, (is(a.marks[markBeginner])-is(b.marks[markBeginner]))*per)
	add(beforeIndefinite, (a.indefinite-b.indefinite)*per)
	add(beforeAdditive, (is(b.marks[markAdditive])-is(a.marks[markAdditive]))*per)
	add(beforeHand, is(a.hand == 1 && b.hand == 2)-is(a.hand == 2 && b.hand == 1))
	add(beforeDefines, (is(a.marks[markDefines])-is(b.marks[markDefines]))*per)
	add(beforeModal, (is(b.marks[markModal])-is(a.marks[markModal]))*per)
	add(beforeIf, (is(b.marks[markDepends])-is(a.marks[markDepends]))*per)
	add(beforeLate, (is(b.marks[markLate])-is(a.marks[markLate]))*per)
	add(beforeCentral, (a.central-b.central)*per)
	add(beforePointer, (is(len(b.pointer) > 0)-is(len(a.pointer) > 0))*per)
	add(beforeName, (is(len(a.names) > 0 && b.marks[markPersonal])-is(len(b.names) > 0 && a.marks[markPersonal]))*per)
}

// meanRank is the mean number, from 1, of the points that are mentioned; 0 if none is.
func (d *doc) meanRank(points []prompts.Point) float64 {
	sum, n := 0, 0
	for k, p := range points {
		if d.mentions(p.Any, 1) > 0 {
			sum += k + 1
			n++
		}
	}
	return float64(sum) / float64(max(n, 1))
}

// ahead is b − a, limited to ±1; 0 if either is missing.
func ahead(a, b float64) float64 {
	if a == 0 || b == 0 {
		return 0
	}
	return max(-1, min(1, b-a))
}

// sign is 1 if a is less than b, and -1 if it is greater; 0 if they are equal or either is missing.
func sign(a, b int) float64 {
	switch {
	case a == 0 || b == 0 || a == b:
		return 0
	case a < b:
		return 1
	}
	return -1
}

// sameClock compares two ranks of timeAt of the same kind, such as months; 0 for different kinds.
func sameClock(a, b int) float64 {
	kind := func(t int) int { return min(t/100, 10) }
	if kind(a) != kind(b) {
		return 0
	}
	return sign(a, b)
}
