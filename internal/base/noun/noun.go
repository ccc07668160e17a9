package noun

import "strconv"

// Number is what a count may be.
type Number interface {
	~int | ~int64 | ~float64
}

// For returns the noun that belongs to n.
func For[N Number](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Of writes a count and its noun: "1 phase", "2 phases", "0 phases".
func Of[N ~int | ~int64](n N, one, many string) string {
	return strconv.FormatInt(int64(n), 10) + " " + For(n, one, many)
}
