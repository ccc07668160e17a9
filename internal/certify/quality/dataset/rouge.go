package dataset

import "strings"

// Overlap is precision, recall and F, their harmonic mean. All are from 0 to 1.
type Overlap struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F         float64 `json:"f"`
}

// Rouge holds the overlaps that MLPerf's Mixtral task reports for OpenOrca: of words, of pairs of words, and of the
// longest common subsequence over the whole text.
type Rouge struct {
	One Overlap `json:"rouge1"`
	Two Overlap `json:"rouge2"`
	L   Overlap `json:"rougeL"`
}

// maxRougeTokens limits the words that are compared, because the time of lcs grows with the product of both lengths.
// An answer of 4,096 model tokens has fewer words.
const maxRougeTokens = 8192

// ScoreRouge compares a candidate with a reference (Lin 2004). Words are runs of a–z and 0–9 in lower case, and those
// of more than three letters are stemmed. Only the first 8,192 words of each count.
func ScoreRouge(reference, candidate string) Rouge {
	ref, can := rougeTokens(reference), rougeTokens(candidate)
	return Rouge{One: ngramOverlap(ref, can, 1), Two: ngramOverlap(ref, can, 2),
		L: overlap(lcs(ref, can), len(ref), len(can))}
}

func rougeTokens(text string) []string {
	tokens := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') &&
			(r < '0' || r > '9')
	})
	tokens = tokens[:min(len(tokens), maxRougeTokens)]
	for i, t := range tokens {
		if len(t) > 3 {
			tokens[i] = porterStem(t)
		}
	}
	return tokens
}

func ngramOverlap(ref, can []string, n int) Overlap {
	count := func(tokens []string) (map[string]int, int) {
		grams := map[string]int{}
		for i := 0; i+n <= len(tokens); i++ {
			grams[strings.Join(tokens[i:i+n], " ")]++
		}
		return grams, max(0, len(tokens)-n+1)
	}
	r, nr := count(ref)
	c, nc := count(can)
	hits := 0
	for g, k := range r {
		hits += min(k, c[g])
	}
	return overlap(hits, nr, nc)
}

func overlap(hits, ref, can int) Overlap {
	o := Overlap{Precision: float64(hits) / float64(max(can, 1)), Recall: float64(hits) / float64(max(ref, 1))}
	if o.Precision+o.Recall > 0 {
		o.F = 2 * o.Precision * o.Recall / (o.Precision + o.Recall)
	}
	return o
}

// lcs returns the length of the longest common subsequence.
func lcs(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			up := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(up, row[j])
			}
			diagonal = up
		}
	}
	return row[len(b)]
}
