package quality

import (
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/prompts"
)

// relevance asks whether the answer speaks of what the prompt is about.
func relevance(d *doc) []Part {
	parts := []Part{concepts(d)}
	if r := d.in.Rubric; r != nil && len(r.Answers) > 0 {
		parts = append(parts, exact(d, r.Answers))
		return append(parts, parrot(d, true))
	}
	return append(parts, parrot(d, false))
}

// concepts is the weighted coverage of the rubric's points, or of the prompt's own content words where there are none.
func concepts(d *doc) Part {
	r := d.in.Rubric
	if r != nil && len(r.Points) > 0 {
		got, all, missing := coverage(d, r.Points)
		return part(Relevance, "concepts", ramp(got/all, 0.2, 0.75), "%.0f %% of the rubric's points by weight%s", 100*got/all, missing)
	}
	if r != nil && len(r.Answers) > 0 {
		return part(Relevance, "concepts", 1, "the checkable answer decides")
	}
	topic := contentWords(d.prompt, asking)
	if len(topic) == 0 {
		return part(Relevance, "concepts", 1, "the prompt names no subject")
	}
	got := 0
	var missing []string
	for _, t := range topic {
		if d.hasStem(t) {
			got++
		} else {
			missing = append(missing, t)
		}
	}
	share := float64(got) / float64(len(topic))
	why := ""
	if len(missing) > 0 {
		why = "; missing: " + strings.Join(missing[:min(len(missing), 6)], ", ")
	}
	return part(Relevance, "concepts", ramp(share, 0.1, 0.5), "%d of %d subjects of the prompt%s", got, len(topic), why)
}

// hasStem reports whether a stem of the prompt occurs in the answer, or a word that begins with it.
func (d *doc) hasStem(s string) bool {
	if d.stems[s] > 0 {
		return true
	}
	if len(s) < 5 {
		return false
	}
	for w := range d.stems {
		if strings.HasPrefix(w, s[:len(s)-1]) {
			return true
		}
	}
	return false
}

// coverage sums the weights of the points that the answer mentions.
func coverage(d *doc, points []prompts.Point) (got, all float64, missing string) {
	var names []string
	for _, p := range points {
		w := p.Weight
		if w == 0 {
			w = 1
		}
		all += w
		if slices.ContainsFunc(p.Any, d.matches) {
			got += w
		} else {
			names = append(names, p.Name)
		}
	}
	if len(names) > 0 {
		missing = "; missing: " + strings.Join(names, ", ")
	}
	return got, all, missing
}

// asserts are the words right before a stated result.
var asserts = set("= is equals equal makes gives are answer be get")

// hasAnswer reports whether the rubric has an exact answer and the response holds it; symbols count where words do not.
func (d *doc) hasAnswer() bool {
	if d.in.Rubric == nil {
		return false
	}
	return slices.ContainsFunc(d.in.Rubric.Answers, func(a string) bool {
		return strings.TrimSpace(d.in.Response) == strings.TrimSpace(a)
	})
}

// exact looks for the checkable answer as whole words, not denied, and not contradicted by another stated result.
func exact(d *doc, answers []string) Part {
	tokens := answerTokens(d.in.Response)
	last, lastAt := "", -1 // the last stated number
	found := false
	for i, t := range tokens {
		stated := i > 0 && asserts[tokens[i-1]] || len(tokens) <= 2
		denied := i > 0 && (tokens[i-1] == "not" || tokens[i-1] == "isn't" || i > 1 && tokens[i-2] == "not")
		match := slices.ContainsFunc(answers, func(a string) bool { return phraseAt(tokens, i, answerTokens(a)) })
		if match && !denied {
			found = true
		}
		if match && denied {
			return part(Relevance, "answer", 0, "denies %q", t)
		}
		if stated && (isNumber(t) || match) {
			last, lastAt = t, i
		}
	}
	if lastAt >= 0 && !slices.ContainsFunc(answers, func(a string) bool { return phraseAt(tokens, lastAt, answerTokens(a)) }) && isNumber(answers[0]) {
		return part(Relevance, "answer", 0, "states %q, expected %s", last, strings.Join(answers, " or "))
	}
	if !found {
		return part(Relevance, "answer", 0, "expected %s", strings.Join(answers, " or "))
	}
	// The prompt's own words may hold the answer; it counts when the response says more than the prompt does.
	return part(Relevance, "answer", 1, "gives %s", strings.Join(answers, " or "))
}

// answerTokens are words, numbers and the equals sign, lower case.
func answerTokens(s string) []string { return words(strings.ReplaceAll(s, "=", " equals ")) }

func phraseAt(tokens []string, i int, phrase []string) bool {
	return len(phrase) > 0 && i+len(phrase) <= len(tokens) && slices.Equal(tokens[i:i+len(phrase)], phrase)
}

// parrot measures how much of the answer is the prompt said back: the share of new content words, and of trigrams
// that stand in the prompt.
func parrot(d *doc, checkable bool) Part {
	content := contentWords(d.words, nil)
	if checkable {
		if slices.Equal(d.words, d.prompt) {
			return part(Relevance, "new words", 0, "the prompt said back")
		}
		return part(Relevance, "new words", 1, "a checkable answer may repeat the question")
	}
	known := map[string]bool{}
	for _, w := range d.prompt {
		known[stem(w)] = true
	}
	fresh := 0
	for _, s := range content {
		if !known[s] {
			fresh++
		}
	}
	grams := map[[3]string]bool{}
	for i := 0; i+3 <= len(d.prompt); i++ {
		grams[[3]string(d.prompt[i:i+3])] = true
	}
	copied, all := 0, 0
	for i := 0; i+3 <= len(d.words); i++ {
		all++
		if grams[[3]string(d.words[i:i+3])] {
			copied++
		}
	}
	share := float64(copied) / float64(max(all, 1))
	return part(Relevance, "new words", min(ramp(float64(fresh), 1, 6), ramp(share, 0.6, 0.3)), "%d content words beyond the prompt's; %.0f %% of trigrams are the prompt's", fresh, 100*share)
}
