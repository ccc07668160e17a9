package quality

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// maxOrdered bounds the units whose order is judged: permuting more adds cost, no evidence.
const maxOrdered = 48

// permutations drawn per judgement: the percentile's step is 1 %.
const permutations = 99

// ordering compares the order of the sentences (lines, in a poem) with random orders of the same sentences, by the
// cues below. A text that nobody shuffled beats most of its permutations; where there are no cues there is no evidence and the part stays neutral.
func ordering(d *doc) Part {
	units := d.units()
	if len(units) < 3 {
		return part(Coherence, "order", 1, "fewer than three sentences: no order to judge")
	}
	c := newCues(d, units)
	order := make([]int, len(units))
	for i := range order {
		order[i] = i
	}
	actual := c.score(order)
	rng := rand.New(rand.NewPCG(1, uint64(len(units)))) // fixed: the same text has the same score
	var sum, sum2, below float64
	for range permutations {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		s := c.score(order)
		sum += s
		sum2 += s * s
		switch {
		case s < actual-1e-9:
			below++
		case s <= actual+1e-9:
			below += 0.5
		}
	}
	mean := sum / permutations
	sd := math.Sqrt(math.Max(0, sum2/permutations-mean*mean))
	if sd < 0.35 {
		return part(Coherence, "order", 1, "no cues to an order in %d sentences", len(units))
	}
	rank := below / permutations
	return part(Coherence, "order", ramp(rank, 0.45, 0.8), "better ordered than %.0f %% of its own permutations (%+.1f sd, %d sentences)", 100*rank, (actual-mean)/sd, len(units))
}

// unit is what is permuted: a sentence, or a line of verse.
type unit struct {
	low      string // lower case
	words    []string
	content  []string // stems
	head     bool
	opener   bool
	closer   bool
	beginner bool
	number   int    // 1, 2, 3 of numbered items or first, second, third; 0 for none
	rhyme    string // last stressed part of a verse line
}

func (d *doc) units() []unit {
	var out []unit
	add := func(text string, ws []string, head bool) {
		low := strings.ToLower(strings.TrimLeft(text, "*_#-•>\" “"))
		u := unit{low: low, words: ws, content: contentWords(ws, nil), head: head}
		u.opener = hasPrefixAny(low, openers)
		u.closer = hasPrefixAny(low, closers)
		u.beginner = hasPrefixAny(low, beginners)
		u.number = ordinal(low)
		if d.form == "poem" && len(ws) > 0 {
			u.rhyme = rhymeOf(ws[len(ws)-1])
		}
		out = append(out, u)
	}
	if d.form == "poem" {
		for _, l := range d.lines[:min(len(d.lines), maxOrdered)] {
			if ws := words(l); len(ws) > 0 {
				add(l, ws, strings.HasPrefix(l, "#") || strings.HasPrefix(l, "**"))
			}
		}
		return out
	}
	for _, s := range d.sentences[:min(len(d.sentences), maxOrdered)] {
		add(s.text, s.words, s.head)
	}
	return out
}

// ordinal reads "1.", "2)", "first", "secondly", … at a sentence's beginning.
func ordinal(low string) int {
	for i, w := range []string{"first", "second", "third", "fourth", "fifth", "sixth"} {
		if strings.HasPrefix(low, w) {
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

// cues holds what does not change under permutation.
type cues struct {
	units  []unit
	topic  []float64      // share of the prompt's subjects in each unit
	intro  map[string]int // noun → the unit that says "a noun" or "named X"
	uses   map[string][]int
	shared [][]float64 // lexical overlap between units
	verse  bool
}

func newCues(d *doc, units []unit) *cues {
	c := &cues{units: units, intro: map[string]int{}, uses: map[string][]int{}, verse: d.form == "poem"}
	subjects := contentWords(d.prompt, asking)
	c.topic = make([]float64, len(units))
	for i, u := range units {
		for _, s := range subjects {
			if slices.Contains(u.content, s) {
				c.topic[i] += 1 / float64(len(subjects))
			}
		}
		for j := 1; j < len(u.words); j++ {
			prev, w := u.words[j-1], stem(u.words[j])
			switch {
			case functional(u.words[j]):
			case prev == "a" || prev == "an" || prev == "named" || prev == "called":
				if _, ok := c.intro[w]; !ok {
					c.intro[w] = i
				}
			default:
				c.uses[w] = append(c.uses[w], i)
			}
		}
	}
	c.shared = make([][]float64, len(units))
	for i := range units {
		c.shared[i] = make([]float64, len(units))
		for j := range i {
			c.shared[i][j] = overlap(units[i].content, units[j].content)
			c.shared[j][i] = c.shared[i][j]
		}
	}
	return c
}

func overlap(a, b []string) float64 {
	n := 0
	for _, x := range a {
		if slices.Contains(b, x) {
			n++
		}
	}
	return float64(n) / math.Sqrt(float64(max(len(a), 1)*max(len(b), 1)))
}

// score sums the cues for one order: at[k] is the unit at place k. The weights were set on the tuning half of the
// labelled set; they are plain numbers because the percentile among permutations makes their scale irrelevant.
func (c *cues) score(at []int) float64 {
	n := len(at)
	place := make([]int, n)
	for k, i := range at {
		place[i] = k
	}
	total := 0.0
	first := c.units[at[0]]
	if first.opener && !first.beginner {
		total -= 3
	}
	if first.beginner {
		total += 3
	}
	total += 2 * c.topic[at[0]]
	lastNumber := 0
	for k, i := range at {
		u := c.units[i]
		rel := float64(k) / float64(n-1)
		if u.closer {
			total += 3 * (2*rel - 1)
		}
		if u.opener && k > 0 && c.units[at[k-1]].head && !c.verse {
			total-- // a heading wants a subject, not a pronoun
		}
		if u.head && k == n-1 {
			total -= 2
		}
		if u.number > 0 {
			if u.number == lastNumber+1 {
				total += 2
			} else if u.number <= lastNumber {
				total -= 2
			}
			lastNumber = u.number
		}
		if k > 0 {
			total += 1.2 * c.shared[i][at[k-1]]
		}
		if c.verse && u.rhyme != "" {
			total += c.rhymes(at, k)
		}
	}
	for w, i := range c.intro {
		for _, j := range c.uses[w] {
			if j == i {
				continue
			}
			if place[i] < place[j] {
				total += 0.6
			} else {
				total -= 0.6
			}
		}
	}
	return total
}

// rhymes rewards a line that rhymes with the one before it, or the one before that.
func (c *cues) rhymes(at []int, k int) float64 {
	r := c.units[at[k]].rhyme
	switch {
	case k >= 1 && c.units[at[k-1]].rhyme == r && k%2 == 1:
		return 1.5
	case k >= 2 && c.units[at[k-2]].rhyme == r:
		return 1.2
	case k >= 1 && c.units[at[k-1]].rhyme == r:
		return 0.8
	}
	return 0
}
