package quality

import "strings"

// coherence asks whether the answer is English that goes somewhere: no loops, real words, grammar's small words in
// their places, sentences in an order that makes sense.
func coherence(d *doc) []Part {
	parts := []Part{repetition(d)}
	if len(d.words) < 6 && d.form == "answer" {
		return parts // "4." has no grammar to judge
	}
	if d.code {
		return parts
	}
	return append(parts, spelling(d), grammar(d), sequence(d), ordering(d))
}

// repetition finds loops: the share of 4-grams, and of whole sentences, that have been said before. Poems may have refrains.
func repetition(d *doc) Part {
	const n = 4
	seen := map[[n]string]bool{}
	again, all := 0, 0
	for i := 0; i+n <= len(d.words); i++ {
		g := [n]string(d.words[i : i+n])
		if seen[g] {
			again++
		}
		seen[g] = true
		all++
	}
	said := map[string]int{}
	repeats := 0
	for _, s := range d.sentences {
		key := strings.Join(s.words, " ")
		if said[key]++; said[key] > 1 && len(s.words) > 2 {
			repeats++
		}
	}
	grams := float64(again) / float64(max(all, 1))
	lo, hi := 0.30, 0.12
	if d.form == "poem" {
		lo, hi = 0.45, 0.25
	}
	v := min(ramp(grams, lo, hi), ramp(float64(repeats)/float64(max(len(d.sentences), 1)), 0.35, 0.15), distinct(d))
	return part(Coherence, "repetition", v, "%.0f %% of 4-grams and %d of %d sentences said before", 100*grams, repeats, len(d.sentences))
}

// distinct guards against loops of fewer than four words: in any text of 20 words, at least a fifth are different.
func distinct(d *doc) float64 {
	if len(d.words) < 12 {
		return 1
	}
	worst := 1.0
	const window = 40
	for at := 0; at < len(d.words); at += window {
		w := d.words[at:min(at+window, len(d.words))]
		if len(w) < 12 {
			break
		}
		u := map[string]bool{}
		for _, x := range w {
			u[x] = true
		}
		worst = min(worst, ramp(float64(len(u))/float64(len(w)), 0.25, 0.45))
	}
	return worst
}

// spelling is the share of words that could be English by their letters.
func spelling(d *doc) Part {
	bad := 0
	for _, w := range d.words {
		if !plausible(w) {
			bad++
		}
	}
	share := float64(bad) / float64(max(len(d.words), 1))
	return part(Coherence, "spelling", ramp(share, 0.15, 0.04), "%.1f %% of %d words do not look English", 100*share, len(d.words))
}

// grammar is the share of function words. Running English has 40–60 %, verse somewhat less, a list of keywords
// and other languages nearly none.
func grammar(d *doc) Part {
	n := 0
	for _, w := range d.words {
		if functional(w) {
			n++
		}
	}
	share := float64(n) / float64(max(len(d.words), 1))
	return part(Coherence, "function words", ramp(share, 0.14, 0.26), "%.0f %% of the words are function words", 100*share)
}

// sequence counts function words that stand where English does not put them ("the of", "an is", a preposition before a
// full stop): in running text a few percent, in shuffled words about a third.
func sequence(d *doc) Part {
	odd, all := 0, 0
	for _, s := range d.sentences {
		for i, w := range s.words {
			next := ""
			if i+1 < len(s.words) {
				next = s.words[i+1]
			}
			switch {
			case w == "a" || w == "an":
				all++
				if next == "" || functional(next) && !mayFollowArticle[next] || vowelStart(next) != (w == "an") && len(next) > 3 && !oddVowel(next) {
					odd++
				}
			case determiners[w] && w != "its" && w != "his" && w != "her" && w != "whose":
				all++
				if next == "" || functional(next) && !mayFollowArticle[next] {
					odd++
				}
			case w == "of" || w == "into" || w == "from" || w == "with" || w == "at":
				all++
				if next == "" && s.ended || auxiliaries[next] || next == "and" || next == "or" || next == "of" {
					odd++
				}
			case w == "and" || w == "or" || w == "but" || w == "because" || w == "if":
				all++
				if next == "" && s.ended || next == "of" || next == "and" || next == "or" || next == "but" && w != "and" {
					odd++
				}
			case auxiliaries[w]:
				all++
				if next == "the" && strings.HasSuffix(w, "ould") || next == "is" || next == "are" || next == "was" || next == "of" && w != "can" {
					odd++
				}
			}
		}
	}
	if all < 4 {
		return part(Coherence, "word order", 1, "too few function words to judge (%d)", all)
	}
	share := float64(odd) / float64(all)
	return part(Coherence, "word order", ramp(share, 0.22, 0.08), "%d of %d function words stand where English does not put them", odd, all)
}

// mayFollowArticle are function words that do follow a determiner: "the other", "a few", "the very", "the two who".
var mayFollowArticle = set("other own few several many much more most less such same very quite rather only also just ever no one ones second first another almost really simply always now then here still not then even up down out away back within inside past future whole all")

func vowelStart(w string) bool { return strings.IndexByte("aeiou8", w[0]) >= 0 }

// oddVowel lists beginnings whose sound differs from their letter: "an hour", "a university", "a one-way", "an LLM".
func oddVowel(w string) bool {
	for _, p := range []string{"hour", "honest", "honor", "honour", "heir", "uni", "use", "usu", "one", "once", "eu", "ubi", "uti", "ura", "u-"} {
		if strings.HasPrefix(w, p) {
			return true
		}
	}
	return !strings.ContainsAny(w, "aeiouy") || isNumber(w)
}
