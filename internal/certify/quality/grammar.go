package quality

import (
	"math"
	"strings"
	"sync"
)

// A word's class: each function word is its own, other words go by their ending. The classes' order is what shuffling
// the words destroys.
const (
	classEdge = iota // before the first and after the last word of a sentence
	classNumber
	classIng
	classEd
	classLy
	classNoun // -tion, -ment, -ness, -ity, -ism, -ance, -ence
	classAdj  // -al, -ous, -ive, -ful, -able, -ic, -less, -ary
	classS
	classOther
	classFirstFunction
)

// classes numbers the function words.
var classes = sync.OnceValue(func() map[string]int {
	m := map[string]int{}
	for _, list := range []map[string]bool{determiners, demonstr, preposition, auxiliaries, conjunction, pronouns,
		adverbs} {
		for w := range list {
			m[w] = 0
		}
	}
	n := classFirstFunction
	for _, w := range sortedKeys(m) { // by name: the numbering is the same in every run
		m[w] = n
		n++
	}
	return m
})

func classOf(w string) int {
	if c, ok := classes()[w]; ok {
		return c
	}
	if isNumber(w) {
		return classNumber
	}
	for _, e := range endings {
		if len(w) > len(e.end)+2 && strings.HasSuffix(w, e.end) {
			return e.class
		}
	}
	return classOther
}

var endings = []struct {
	end   string
	class int
}{
	{"ing", classIng}, {"ed", classEd}, {"ly", classLy}, {"tion", classNoun}, {"sion", classNoun},
	{"ment", classNoun}, {"ness", classNoun}, {"ity", classNoun},
	{"ism", classNoun}, {"ance", classNoun}, {"ence", classNoun}, {"al", classAdj}, {"ous", classAdj},
	{"ive", classAdj}, {"ful", classAdj}, {"able", classAdj},
	{"ic", classAdj}, {"less", classAdj}, {"ary", classAdj}, {"ss", classOther}, {"us", classOther}, {"s", classS},
}

// grammarModel is how often one class follows another in the good answers of the labelled set's development half,
// against how often it would by chance.
type grammarModel struct {
	size int
	gain []float64 // log P(next | class) / P(next)

}

// smoothing is the number of imagined words behind each class that follow as if by chance: 10,000 words teach the
// common pairs only.
const smoothing = 24

var learnedGrammar = sync.OnceValue(func() *grammarModel {
	var texts []*doc
	for _, t := range labelled() {
		for _, e := range t.examples {
			if e.label == good && !t.heldOut() {
				texts = append(texts, read(t.input(e.text)))
			}
		}
	}
	return learnGrammar(texts)
})

func learnGrammar(texts []*doc) *grammarModel {
	n := classFirstFunction + len(classes())
	g := &grammarModel{size: n, gain: make([]float64, n*n)}
	pairs, from, to, all := make([]float64, n*n), make([]float64, n), make([]float64, n), 0.0
	for _, d := range texts {
		for _, s := range d.sentences {
			visitClasses(s, func(a, b int) {
				pairs[a*n+b]++
				from[a]++
				to[b]++
				all++
			})
		}
	}
	for a := range n {
		for b := range n {
			p := (to[b] + 0.5) / (all + 0.5*float64(n))
			g.gain[a*n+b] = math.Log((pairs[a*n+b] + smoothing*p) / (from[a] + smoothing) / p)
		}
	}
	return g
}

// visitClasses gives each pair of neighbouring classes of a sentence, its ends included.
func visitClasses(s sentence, visit func(a, b int)) {
	last := classEdge
	for _, w := range s.words {
		c := classOf(w)
		visit(last, c)
		last = c
	}
	if s.ended {
		visit(last, classEdge)
	}
}

// meanGain is the average over a text's neighbours, in nats, and their number.
func (g *grammarModel) meanGain(d *doc) (mean float64, n int) {
	sum := 0.0
	for _, s := range d.sentences {
		visitClasses(s, func(a, b int) {
			sum += g.gain[a*g.size+b]
			n++
		})
	}
	return sum / float64(max(n, 1)), n
}
