package settings

// Nearest gives the word that a misspelt one most likely means, or nothing where none is close: a third of its letters
// may be wrong, missing, too many or swapped with their neighbour.
func Nearest(word string, words []string) (near string) {
	least := len(word)/3 + 1
	for _, w := range words {
		if d := distance(word, w); d < least {
			near, least = w, d
		}
	}
	return near
}

// distance counts the edits between two words (optimal string alignment: Damerau 1964, each letter edited once).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
