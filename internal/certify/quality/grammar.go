package quality

import (
	"math"
	"strings"
	"sync"
)

// Classes of words. Each function word is a class of its own; other words are classed by their endings. Shuffling the
// words destroys the usual order of classes.
const (
	classEdge = iota // the beginning and the end of a sentence
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

// classes has the numbers of the function words' classes.
var classes = sync.OnceValue(func() map[string]int {
	m := map[string]int{}
	for _, list := range []map[string]bool{determiners, demonstr, preposition, auxiliaries, conjunction, pronouns,
		adverbs} {
		for w := range list {
			m[w] = 0
		}
	}
	n := classFirstFunction
	for _, w := range sortedKeys(m) { // sorted, so that the numbers are the same in every run
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

// grammarModel says how much more often one class follows another than by chance, in the good answers of the labelled
// set's development half.
type grammarModel struct {
	size int
	gain []float64 // log P(next | class) / P(next)

}

// smoothing is a number of words that are added after each class with their chance frequencies. The 10,000 words of
// the set only show the frequencies of common pairs.
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

// visitClasses calls visit for each pair of neighbouring classes in a sentence, including its beginning and end.
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

// meanGain is the mean gain over a text's pairs of neighbours, in nats, and their number.
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
