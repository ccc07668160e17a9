package spell

// mostLetters bounds the words that are compared: no name is longer, and the time grows with the square of the length.
const mostLetters = 64

// Nearest returns the word that a misspelt one most likely means, or nothing if none is close: up to a third of its
// letters may be wrong, missing, superfluous or swapped with a neighbour.
func Nearest(word string, words []string) (near string) {
	least := len(word)/3 + 1
	for _, w := range words {
		if len(word) > mostLetters || len(w)-len(word) >= least || len(word)-len(w) >= least {
			continue
		}
		if d := Distance(word, w); d < least {
			near, least = w, d
		}
	}
	return near
}

// Distance counts the letters to insert, delete, replace or swap with a neighbour to turn a into b (optimal string
// alignment: Damerau 1964, each letter edited once). For words that are too long it is their length.
func Distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > mostLetters || len(y) > mostLetters {
		return max(len(x), len(y))
	}
	var before, last, row [mostLetters + 1]int
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			change := last[j-1]
			if x[i-1] != y[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
