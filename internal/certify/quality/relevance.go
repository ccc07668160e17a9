package quality

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

// relevance scores whether the answer is about the subject of the prompt.
func relevance(d *doc) []Part {
	parts := []Part{refusal(d), parrot(d)}
	if len(d.expected) > 0 {
		return append(parts, exact(d.in.Response, d.expected))
	}
	return append(parts, concepts(d))
}

// concepts is the weighted coverage of the rubric's points, or of the prompt's own content words if there are no
// points.
func concepts(d *doc) Part {
	if r := d.in.Rubric; r != nil && len(r.Points) > 0 {
		got, all, missing := coverage(d, r.Points)
		lo, hi := 0.3, 0.8
		if len(r.Points) <= 2 { // one of two may be expressed in other words
			lo, hi = 0.2, 0.75
		}
		return part(Relevance, "concepts", ramp(got/all, lo, hi), "%.0f %% of the rubric's points by weight%s",
			100*got/all, missing)
	}
	about := contentWords(d.prompt, asking)
	if len(d.prompt) > 40 { // a passage to work on, whose subjects are the words that occur twice
		about = repeatedWords(d.prompt, about)
	}
	switch {
	case len(about) == 0:
		return part(Relevance, "concepts", 1, "the prompt names no subject")
	case asksNumber(d.prompt) && !slices.ContainsFunc(answerTokens(d.in.Response),
		func(t answerToken) bool { return t.number }):
		return part(Relevance, "concepts", 0, "the prompt asks for a number, the answer has none")
	case (d.form == "answer" || d.form == "list") && len(d.words) <= 12:
		return part(Relevance, "concepts", 1, "a short answer need not name the subject again")
	}
	if d.foreign {
		return part(Relevance, "concepts", 1, "the answer may be in another language")
	}
	share, missing := d.subjects(about)
	// An instruction may be followed by the text to which it applies. Either may be the subject.
	if head, rest, parted := strings.Cut(strings.TrimSpace(d.in.Prompt), "\n"); parted {
		for _, p := range []string{head, rest} {
			if c := contentWords(words(p), asking); len(c) > 1 {
				if s, m := d.subjects(c); s > share {
					share, missing = s, m
				}
			}
		}
	}
	why := ""
	if len(missing) > 0 {
		why = "; missing: " + strings.Join(missing, ", ")
	}
	return part(Relevance, "concepts", ramp(share, 0.08, 0.4), "%.0f %% of the prompt's subjects by weight%s",
		100*share, why)
}

// maxSubjects bounds the stems that count as a prompt's subjects. A long prompt has more words than subjects.
const maxSubjects = 6

// subjects returns the weighted share of the rarest stems that the answer mentions.
func (d *doc) subjects(about []string) (share float64, missing []string) {
	rarest := slices.Clone(about)
	slices.SortStableFunc(rarest, func(a, b string) int { return cmp.Compare(rarity(b), rarity(a)) })
	got, all := 0.0, 0.0
	for _, s := range rarest[:min(len(rarest), maxSubjects)] {
		w := rarity(s)
		all += w
		switch n := d.stemCount(s); {
		case n > 1 || n == 1 && len(d.words) <= 2*longAnswer || d.hasRelated(s):
			got += w
		case n == 1: // one mention in a long answer may be a coincidence
			got += w / 2
		case d.hasPart(s): // "clock" counts half for "clockmaker"
			got += w / 2
		default:
			missing = append(missing, s)
		}
	}
	return got / all, missing
}

// rarity is the weight of a stem. It is higher for stems that occur with few subjects: "time" occurs with many,
// "lighthouse" does not.
func rarity(s string) float64 {
	df, n := documentFrequency()
	return math.Log(float64(n+1)/float64(df[s]+1)) + 0.1
}

// documentFrequency counts for each stem the prompts of the development half whose good answers contain it. It also
// returns the number of prompts.
var documentFrequency = sync.OnceValues(func() (map[string]int, int) {
	df, n := map[string]int{}, 0
	for _, t := range labelled() {
		if t.heldOut() {
			continue
		}
		n++
		seen := map[string]bool{}
		for _, e := range t.examples {
			for _, w := range words(e.text) {
				if s := stem(w); e.label == good && !seen[s] {
					seen[s] = true
					df[s]++
				}
			}
		}
	}
	return df, n
})

// asksNumber reports whether a prompt asks for a number and nothing else.
func asksNumber(prompt []string) bool {
	return len(prompt) > 2 && len(prompt) <= 20 && prompt[0] == "how" &&
		(prompt[1] == "many" || prompt[1] == "old" || prompt[1] == "far" || prompt[1] == "tall")
}

// repeatedWords keeps the stems that occur at least twice, or all if none does.
func repeatedWords(ws, about []string) []string {
	n := map[string]int{}
	for _, w := range ws {
		n[stem(w)]++
	}
	if often := slices.DeleteFunc(slices.Clone(about), func(s string) bool { return n[s] < 2 }); len(often) > 0 {
		return often
	}
	return about
}

// hasStem reports whether a stem of the prompt occurs in the answer, or a word that begins with it.
func (d *doc) hasStem(s string) bool { return d.stemCount(s) > 0 }

// hasPart reports whether the answer has a word of at least five letters that the stem begins with.
func (d *doc) hasPart(s string) bool {
	for n := 5; n < len(s)-1; n++ {
		if d.stems[s[:n]] > 0 {
			return true
		}
	}
	return false
}

func (d *doc) stemCount(s string) int {
	n := d.stems[s]
	if len(s) >= 5 {
		for w, k := range d.stems {
			if w != s && strings.HasPrefix(w, s[:len(s)-1]) {
				n += k
			}
		}
	}
	return n
}

// hasRelated reports whether the answer has two different words of a family that contains the stem: a poem about
// autumn may mention leaves and frost.
func (d *doc) hasRelated(s string) bool {
	for _, f := range families() {
		if !f[s] {
			continue
		}
		n := 0
		for w := range f {
			if d.stems[w] > 0 {
				n++
			}
		}
		if n >= 2 {
			return true
		}
	}
	return false
}

// onceWeight is the weight of a main point that a longer answer mentions only once, which may be a coincidence.
const onceWeight = 0.65

// coverage sums the weights of the points that the answer mentions.
func coverage(d *doc, points []prompts.Point) (got, all float64, missing string) {
	most := 0.0
	weight := func(p prompts.Point) float64 {
		if p.Weight == 0 {
			return 1
		}
		return p.Weight
	}
	for _, p := range points {
		most = max(most, weight(p))
	}
	var names []string
	for _, p := range points {
		w := weight(p)
		all += w
		switch n := d.mentions(p.Any, 2); {
		case n == 0:
			names = append(names, p.Name)
		case n == 1 && w == most && len(d.words) > longAnswer:
			got += onceWeight * w
		default:
			got += w
		}
	}
	if len(names) > 0 {
		missing = "; missing: " + strings.Join(names, ", ")
	}
	return got, all, missing
}

// longAnswer is the number of words from which on an answer names its subject more than once.
const longAnswer = 60

// mentions counts the places with one of the terms, up to a limit.
func (d *doc) mentions(terms []string, limit int) int {
	n := 0
	for _, t := range terms {
		term := words(t)
		if len(term) == 0 {
			continue
		}
		root := stem(term[0])
		for i := range d.words {
			if i+len(term) <= len(d.words) && d.matchAt(i, term, root) {
				if n++; n >= limit {
					return n
				}
			}
		}
	}
	return n
}

var refusals = []string{"can't help", "cannot help", "can't assist", "cannot assist", "unable to help",
	"unable to assist", "not able to", "unable to provide", "unable to answer",
	"cannot provide", "can't provide", "cannot answer", "can't answer", "cannot write", "can't write",
	"cannot fulfill", "cannot fulfil", "can't fulfill", "unable to fulfill",
	"cannot create", "can't create", "cannot generate", "can't generate", "unable to generate", "can't do that",
	"cannot do that", "cannot comply", "won't be able to help", "i don't know"}

// refusal looks for words of refusal at the beginning of the answer.
func refusal(d *doc) Part {
	low := strings.ToLower(strings.ReplaceAll(d.in.Response[:min(len(d.in.Response), 160)], "’", "'"))
	declines := strings.Contains(low, "as an ai language model") || strings.Contains(low, "i'm just an ai")
	for _, r := range refusals {
		if i := strings.Index(low, r); i >= 0 {
			before := low[max(0, i-25):i] // "I", "I'm sorry, but I"
			declines = declines || strings.HasPrefix(r, "i ") || strings.Contains(before, "i ") ||
				strings.Contains(before, "i'm")
		}
	}
	wanted := strings.Contains(strings.ToLower(d.in.Prompt), "declin") ||
		strings.Contains(strings.ToLower(d.in.Prompt), "refus")
	if declines && !wanted && len(d.words) < 80 {
		return part(Relevance, "refusal", 0, "declines to answer")
	}
	return part(Relevance, "refusal", 1, "does not decline")
}

// parrot measures how much of the answer only repeats the prompt: by the content words that are not in the prompt, and
// by the share of trigrams that are.
func parrot(d *doc) Part {
	known := map[string]bool{}
	for _, w := range d.prompt {
		known[stem(w)] = true
	}
	fresh := 0
	for _, s := range contentWords(d.words, nil) {
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
	start := min(len(d.prompt), 6)
	says := start >= 3 && len(d.words) >= start && slices.Equal(d.words[:start], d.prompt[:start])
	v := 1.0
	switch {
	case slices.Equal(d.words, d.prompt):
		v = 0
	case len(d.expected) > 0:
		return part(Relevance, "new words", 1, "a checkable answer may repeat the question")
	case d.form == "answer" || d.form == "" && len(d.words) <= 12:
		v = max(ramp(float64(fresh), 0, 1), is(slices.ContainsFunc(d.words, isNumber))) * ramp(share, 0.75, 0.5)
	case len(d.prompt) > 40: // a passage to work on may be quoted, but not copied in full
		size := float64(len(d.words)) / float64(len(d.prompt))
		v = max(ramp(share, 0.85, 0.6), ramp(size, 0.8, 0.6))
		if says && share > 0.5 {
			v = 0
		}
	default:
		v = min(ramp(float64(fresh), 1, 4), ramp(share, 0.6, 0.3))
	}
	return part(Relevance, "new words", v,
		"%d content words beyond the prompt's; %.0f %% of trigrams are the prompt's", fresh, 100*share)
}
