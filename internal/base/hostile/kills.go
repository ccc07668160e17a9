package hostile

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// Kills is how often a test kills the program: MIXTRAL_KILLS times, or usual times.
func Kills(t testing.TB, usual int) int {
	t.Helper()
	text := os.Getenv("MIXTRAL_KILLS")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MIXTRAL_KILLS must be a number above 0, got %s", text)
	}
	return n
}

// Survived adds a row to the table that `make kills` prints: what was killed or taken away, how often, how often it
// was at work then, and what was found afterwards. A test that has failed adds no row.
func Survived(t testing.TB, what string, times, atWork int, found string, args ...any) {
	t.Helper()
	row := fmt.Sprintf("| %s | %d | %d | %s |", what, times, atWork, fmt.Sprintf(found, args...))
	t.Log(row)
	path := os.Getenv("MIXTRAL_KILLS_TABLE")
	if path == "" || t.Failed() {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, row); err != nil {
		t.Fatal(err)
	}
}
